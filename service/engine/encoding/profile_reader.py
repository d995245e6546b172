"""Profiles to features, with what the towers see in them.

What a tower made once is not made again: vectors come from the stored record, from those used last,
and only then from the tower.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from model_export.contract.errors import UnreadableContent
from model_export.contract.features import Features, Featurizer
from model_export.contract.pieces import Piece, pieces_of
from model_export.contract.streamer import StreamerProfile
from model_export.contract.towers import TowerSpec, media_at, payload_key, vector_piece
from model_export.contract.uninformative import says_nothing
from service.engine.encoding.tower_jobs import (
    Sighting,
    Sightings,
    error_of,
    key_of,
    no_outline,
    of_bytes,
    outline_key,
    pointer_to,
    seen_by,
    shown,
)
from service.engine.encoding.tower_vectors import (
    Key,
    Seen,
    Vector,
    as_outline,
    as_print,
    pack,
    unpack,
)
from service.engine.work.lanes import Lane
from service.errors import InvalidRequest, ServiceError

Outline = NDArray[np.uint8]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Reading:
    """A profile as the encoder reads it.

    Attributes:
        features: its features.
        tower_vectors: what the towers made of its pieces, packed.
    """

    features: Features
    tower_vectors: bytes


@dataclass(frozen=True, eq=False)
class ToRead:
    """A profile that is to be read.

    Attributes:
        profile: the profile.
        pointer: where it stands in the request, for errors.
        tower_vectors: what is stored of its pieces, packed; it may be of an older profile.
        stored: the profile as it is stored, JSON. Pictures and sounds that it has already are no
            news: their addresses aren't asked again, and what can't be read of them is left out.
    """

    profile: StreamerProfile
    pointer: str = ""
    tower_vectors: bytes = b""
    stored: bytes = b""


@dataclass(frozen=True, eq=False)
class _Plan:
    """A profile on its way.

    Attributes:
        item: what is to be read.
        pieces: its pieces.
        stored: what towers saw in it before.
        settled: digests of the pictures and sounds that are no news.
        seen: for each tower and piece that it reads, the sighting.
    """

    item: ToRead
    pieces: Sequence[Piece]
    stored: Seen
    settled: frozenset[str]
    seen: list[tuple[TowerSpec, Piece, Sighting]] = field(
        default_factory=list[tuple[TowerSpec, Piece, Sighting]]
    )


class Reader:
    """Reads profiles for one encoder."""

    def __init__(
        self,
        featurizer: Featurizer,
        towers: Sequence[TowerSpec] = (),
        sightings: Sightings | None = None,
    ) -> None:
        """`sightings` are made for the `towers`, if there are any."""
        self._featurizer = featurizer
        self._towers = towers
        self._sightings = sightings
        self._reads_media = any(spec.text is None for spec in towers)

    @property
    def has_towers(self) -> bool:
        """Whether what is stored of a profile's pieces is of use."""
        return self._sightings is not None

    async def read(self, item: ToRead) -> Reading:
        """Read a profile that somebody waits for.

        Raises:
            InvalidRequest: parts of it can't be read by this model; all of them are named.
            Unavailable: too much waits already, or an address can't be asked at the moment.
        """
        (found,) = await self._read([item], Lane.INTERACTIVE)
        if isinstance(found, ServiceError):
            raise found
        return found

    async def read_many(self, items: Sequence[ToRead]) -> list[Reading | ServiceError]:
        """Read many profiles, however long it takes; for one that can't be read, what is wrong."""
        return await self._read(items, Lane.BULK)

    def as_stored(self, profile: StreamerProfile, tower_vectors: bytes) -> Features:
        """The features of a stored profile by what is stored beside it; no tower runs.

        Raises:
            UnreadableContent: it was written for another model.
        """
        pieces, stored = pieces_of(profile), unpack(tower_vectors)
        read = [vector_piece(*found) for found in self._stored(pieces, stored)]
        return self._featurizer.from_pieces([*pieces, *read])

    def outlines(self, pieces: Sequence[Piece], tower_vectors: bytes) -> dict[str, Outline]:
        """Outlines of the pictures that say something, by their source; no picture is decoded.

        Args:
            pieces: of a profile.
            tower_vectors: what is stored of it. An earlier release stored no outlines.
        """
        return self._marks(pieces, tower_vectors, lambda spec: spec.image is not None, as_outline)

    def prints(self, pieces: Sequence[Piece], tower_vectors: bytes) -> dict[str, Outline]:
        """The prints of the sounds that say something, likewise."""
        return self._marks(pieces, tower_vectors, lambda spec: spec.audio is not None, as_print)

    def _marks(
        self,
        pieces: Sequence[Piece],
        tower_vectors: bytes,
        is_asked: Callable[[TowerSpec], bool],
        read: Callable[[Vector], Outline],
    ) -> dict[str, Outline]:
        """What tells copies of pieces that some towers read, by source, if it says something."""
        stored = unpack(tower_vectors)
        found: dict[str, Outline] = {}
        for spec, made_of, _ in self._stored(pieces, stored):
            mark = stored.vectors.get(outline_key(made_of))
            if is_asked(spec) and mark is not None and read(mark).any():
                found[made_of.source] = read(mark)
        return found

    def _stored(
        self, pieces: Sequence[Piece], stored: Seen
    ) -> Iterator[tuple[TowerSpec, Piece, Vector]]:
        """The towers, what they read of these pieces, and what they made of it."""
        for spec in self._towers:
            for piece in seen_by(spec, pieces):
                found = stored.addresses.get(_digest(piece))
                made_of = piece if found is None else of_bytes(piece, found.hex())
                vector = stored.vectors.get(key_of(spec, made_of))
                if vector is not None:
                    yield spec, made_of, vector

    async def _read(self, items: Sequence[ToRead], lane: Lane) -> list[Reading | ServiceError]:
        plans: list[_Plan | ServiceError] = []
        sightings: dict[object, Sighting] = {}
        for item in items:
            if len(items) > 1:
                await asyncio.sleep(0)  # others have their turn
            plans.append(self._plan(item, sightings))
        if self._sightings is not None:
            await self._sightings.make(list(sightings.values()), lane)
        results: list[Reading | ServiceError] = []
        for plan in plans:
            if len(items) > 1:
                await asyncio.sleep(0)
            results.append(plan if isinstance(plan, ServiceError) else self._finish(plan))
        return results

    def _plan(self, item: ToRead, sightings: dict[object, Sighting]) -> _Plan | ServiceError:
        """What towers have to read of a profile; `sightings` are those of all profiles."""
        pieces = pieces_of(item.profile)
        if self._sightings is None:
            return _Plan(item, pieces, Seen(), frozenset())
        try:
            # What is wrong with it must show before the towers are asked.
            self._featurizer.from_pieces([p for p in pieces if p.kind == "vector"])
        except UnreadableContent as error:
            return _invalid(item, error)
        settled = _settled(item.stored) if self._reads_media else frozenset[str]()
        plan = _Plan(item, pieces, unpack(item.tower_vectors), settled)
        for spec in self._towers:
            for piece in seen_by(spec, pieces):
                sighting = _sighting(plan, spec, piece, sightings)
                if spec not in sighting.specs:
                    sighting.specs.append(spec)
                plan.seen.append((spec, piece, sighting))
        for _, piece, sighting in plan.seen:
            sighting.is_news |= not (sighting.is_dropped or piece.payload_digest in plan.settled)
            was_address = sighting.is_address and piece.payload_digest in plan.settled
            if was_address and (found := plan.stored.addresses.get(_digest(piece))):
                sighting.has_bytes(found.hex())
            self._sightings.recall(sighting, plan.stored)
            if was_address or sighting.is_dropped:  # it is not read again, whatever is missing
                sighting.specs = [s for s in sighting.specs if s.name in sighting.vectors]
        return plan

    def _finish(self, plan: _Plan) -> Reading | ServiceError:
        vectors: dict[Key, Vector] = {}
        addresses: dict[bytes, bytes] = {}
        read: list[Piece] = []
        errors: dict[str, ServiceError] = {}
        for spec, piece, sighting in plan.seen:
            vector = sighting.vectors.get(spec.name)
            if vector is not None:
                # Of an address, as if its bytes had been in the profile.
                made_of = replace(piece, payload_digest=sighting.piece.payload_digest)
                if made_of.payload_digest != piece.payload_digest:
                    addresses[_digest(piece)] = _digest(made_of)
                read.append(vector_piece(spec, made_of, vector))
                vectors[key_of(spec, made_of)] = vector
                if spec.text is None and sighting.outline is not None:
                    nothing = says_nothing(read[-1], self._featurizer.vocabulary.uninformative)
                    outline = no_outline(spec) if nothing else sighting.outline
                    vectors[outline_key(made_of)] = outline
            elif sighting.error is not None:
                error = _as_error(plan.item, piece, sighting.error)
                if piece.payload_digest in plan.settled:
                    _log.warning("%s: left out: %s", plan.item.profile.streamer_id, error)
                else:
                    errors[piece.source] = error
        if errors:
            return error_of(list(errors.values()))
        try:
            features = self._featurizer.from_pieces([*plan.pieces, *read])
        except UnreadableContent as error:
            return _invalid(plan.item, error)
        return Reading(features, pack(Seen(vectors, addresses)))


def _sighting(
    plan: _Plan, spec: TowerSpec, piece: Piece, sightings: dict[object, Sighting]
) -> Sighting:
    """The sighting of a piece: one for all profiles that show the same."""
    found = Sighting(plan.item.profile, plan.item.pointer, piece, plan.stored)
    found.is_dropped = (
        piece.kind == "media" and media_at(plan.item.profile, piece.source).sha256 is not None
    )
    key = spec.kind, payload_key(piece)
    # What lies at an address may be another thing at each write; of dropped bytes there is nothing.
    is_own = found.is_address or found.is_dropped
    return sightings.setdefault((id(plan), key) if is_own else key, found)


def _settled(stored: bytes) -> frozenset[str]:
    """Digests of the pictures and sounds that are stored already."""
    try:
        pieces = pieces_of(StreamerProfile.model_validate_json(stored)) if stored else []
    except ValidationError:  # of an earlier release, so all of it is news
        pieces = []
    return frozenset(shown(p).payload_digest for p in pieces if p.kind == "media")


def _digest(piece: Piece) -> bytes:
    """SHA-256 of the bytes or of the address of a picture or sound."""
    return bytes.fromhex(piece.payload_digest.rpartition(":")[2])


def _as_error(item: ToRead, piece: Piece, error: ServiceError | UnreadableContent) -> ServiceError:
    if isinstance(error, ServiceError):
        return error
    media = media_at(item.profile, piece.source)
    form = "url" if media.data is None else "data"
    return InvalidRequest.of(f"{item.pointer}{pointer_to(piece.source)}/{form}", error.reason)


def _invalid(item: ToRead, error: UnreadableContent) -> InvalidRequest:
    return InvalidRequest.of(f"{item.pointer}{pointer_to(error.source)}", error.reason)
