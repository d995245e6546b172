"""Profiles to features, with what the towers see in them.

What a tower made once is not made again: vectors come from the stored record, from those used last,
and only then from the tower.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from model_export.contract.errors import UnreadableContent
from model_export.contract.features import Features, Featurizer
from model_export.contract.pieces import Piece, pieces_of
from model_export.contract.streamer import StreamerProfile
from model_export.contract.towers import TowerSpec, media_at, payload_key, vector_piece
from model_export.contract.uninformative import says_nothing
from service.engine.encoding.large_profiles import beside_if_large
from service.engine.encoding.tower_jobs import (
    TowerJob,
    TowerJobs,
    error_of,
    key_of,
    no_thumbnail,
    of_bytes,
    pointer_to,
    seen_by,
    shown,
    thumbnail_key,
)
from service.engine.encoding.tower_vectors import (
    Key,
    Seen,
    Vector,
    as_fingerprint,
    as_thumbnail,
    pack,
    unpack,
)
from service.engine.work.lanes import Lane, Lanes
from service.engine.work.large_json import loads
from service.errors import InvalidRequest, ServiceError, Unavailable

Thumbnail = NDArray[np.uint8]
Fingerprint = NDArray[np.uint8]

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
        older: what this model's towers made of an older version, packed, where `tower_vectors` are
            those that another model's made just now; these go first.
        stored: the profile as it is stored, JSON. Pictures and sounds that it has already are no
            news: their addresses aren't asked again, and what can't be read of them is left out.
    """

    profile: StreamerProfile
    pointer: str = ""
    tower_vectors: bytes = b""
    older: bytes = b""
    stored: bytes = b""


@dataclass(frozen=True, eq=False)
class _Plan:
    """A profile on its way.

    Attributes:
        item: what is to be read.
        pieces: its pieces.
        stored: what towers saw in it before.
        settled: digests of the pictures and sounds that are no news.
        reads: each tower with a piece that it reads, as `shown`.
        seen: for each of these, the job.
    """

    item: ToRead
    pieces: Sequence[Piece]
    stored: Seen
    settled: frozenset[str]
    reads: Sequence[tuple[TowerSpec, Piece]] = ()
    seen: list[tuple[TowerSpec, Piece, TowerJob]] = field(
        default_factory=list[tuple[TowerSpec, Piece, TowerJob]]
    )


class Reader:
    """Reads profiles for one encoder."""

    def __init__(
        self,
        featurizer: Featurizer,
        towers: Sequence[TowerSpec] = (),
        jobs: TowerJobs | None = None,
        lanes: Lanes | None = None,
    ) -> None:
        """`jobs` are made for the `towers`, if any; large profiles are read in `lanes`."""
        self._lanes = lanes
        self._featurizer = featurizer
        self._towers = towers
        self._jobs = jobs
        self._reads_media = any(spec.text is None for spec in towers)

    @property
    def has_towers(self) -> bool:
        """Whether what is stored of a profile's pieces is of use."""
        return self._jobs is not None

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

    def features_of(self, pieces: Sequence[Piece]) -> Features:
        """The features of pieces; no tower runs. Raises as `as_stored`."""
        return self._featurizer.from_pieces(pieces)

    def as_stored(self, pieces: Sequence[Piece], tower_vectors: bytes) -> Features:
        """The features of a stored profile's pieces by what is stored beside it; no tower runs.

        Raises:
            UnreadableContent: it was written for another model.
        """
        stored = unpack(tower_vectors)
        read = [vector_piece(*found) for found in self._stored(pieces, stored)]
        return self._featurizer.from_pieces([*pieces, *read])

    def thumbnails(self, pieces: Sequence[Piece], tower_vectors: bytes) -> dict[str, Thumbnail]:
        """Thumbnails of the pictures that say something, by their source; no picture is decoded.

        Args:
            pieces: of a profile.
            tower_vectors: what is stored of it. An earlier release stored no thumbnails.
        """
        return self._marks(pieces, tower_vectors, lambda spec: spec.image is not None, as_thumbnail)

    def fingerprints(self, pieces: Sequence[Piece], tower_vectors: bytes) -> dict[str, Fingerprint]:
        """Audio fingerprints of the sounds that say something, by their source."""
        return self._marks(
            pieces, tower_vectors, lambda spec: spec.audio is not None, as_fingerprint
        )

    def _marks(
        self,
        pieces: Sequence[Piece],
        tower_vectors: bytes,
        is_asked: Callable[[TowerSpec], bool],
        read: Callable[[Vector], Thumbnail],
    ) -> dict[str, Thumbnail]:
        """What tells copies of pieces that some towers read, by source, if it says something."""
        stored = unpack(tower_vectors)
        found: dict[str, Thumbnail] = {}
        for spec, made_of, _ in self._stored(pieces, stored):
            mark = stored.vectors.get(thumbnail_key(made_of))
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
        jobs: dict[object, TowerJob] = {}
        begin = time.perf_counter()
        for item in items:
            begin = await self._give_way(begin)
            plan = await beside_if_large(
                self._lanes, item.profile, partial(self._prepare, item), lane
            )
            if isinstance(plan, _Plan) and self._jobs is not None:
                self._assign(plan, jobs, self._jobs)
            plans.append(plan)
        if self._jobs is not None:
            await self._jobs.make(list(jobs.values()), lane)
        results: list[Reading | ServiceError] = []
        begin = time.perf_counter()
        for plan in plans:
            begin = await self._give_way(begin)
            if isinstance(plan, _Plan):
                finish = partial(self._finish, plan)
                results.append(await beside_if_large(self._lanes, plan.item.profile, finish, lane))
            else:
                results.append(plan)
        return results

    async def _give_way(self, begin: float) -> float:
        """Let others go first after a turn; when the present one began."""
        return begin if self._lanes is None else await self._lanes.give_way.after(begin)

    def _prepare(self, item: ToRead) -> _Plan | ServiceError:
        """The pieces of a profile, and what is known of them."""
        pieces = pieces_of(item.profile)
        if self._jobs is None:
            return _Plan(item, pieces, Seen(), frozenset())
        try:
            # What is wrong with it must show before the towers are asked.
            self._featurizer.from_pieces([p for p in pieces if p.kind == "vector"])
        except UnreadableContent as error:
            return _invalid(item, error)
        settled = _settled(item.stored) if self._reads_media else frozenset[str]()
        known = unpack(item.tower_vectors)
        if item.older:
            known = known.over(unpack(item.older))
        reads = [(spec, piece) for spec in self._towers for piece in seen_by(spec, pieces)]
        return _Plan(item, pieces, known, settled, reads)

    def _assign(self, plan: _Plan, jobs: dict[object, TowerJob], known: TowerJobs) -> None:
        """Find what towers have to read of a profile; `jobs` are those of all profiles."""
        for spec, piece in plan.reads:
            job = _job(plan, spec, piece, jobs)
            if spec not in job.specs:
                job.specs.append(spec)
            plan.seen.append((spec, piece, job))
        for _, piece, job in plan.seen:
            job.is_news |= not (job.is_dropped or piece.payload_digest in plan.settled)
            was_address = job.is_address and piece.payload_digest in plan.settled
            if was_address and (found := plan.stored.addresses.get(_digest(piece))):
                job.has_bytes(found.hex())
            known.recall(job, plan.stored)
            if was_address or job.is_dropped:  # it is not read again, whatever is missing
                job.specs = [s for s in job.specs if s.name in job.vectors]

    def _finish(self, plan: _Plan) -> Reading | ServiceError:
        vectors: dict[Key, Vector] = {}
        addresses: dict[bytes, bytes] = {}
        read: list[Piece] = []
        errors: dict[str, ServiceError] = {}
        for spec, piece, job in plan.seen:
            vector = job.vectors.get(spec.name)
            if vector is not None:
                made_of = piece
                if job.piece.payload_digest != piece.payload_digest:
                    # Of an address, as if its bytes had been in the profile.
                    made_of = replace(piece, payload_digest=job.piece.payload_digest)
                    addresses[_digest(piece)] = _digest(made_of)
                read.append(vector_piece(spec, made_of, vector))
                vectors[key_of(spec, made_of)] = vector
                if spec.text is None and job.thumbnail is not None:
                    nothing = says_nothing(read[-1], self._featurizer.vocabulary.uninformative)
                    thumbnail = no_thumbnail(spec) if nothing else job.thumbnail
                    vectors[thumbnail_key(made_of)] = thumbnail
            elif job.error is not None:
                error = _as_error(plan.item, piece, job.error)
                is_lasting = not isinstance(error, Unavailable)
                if is_lasting and piece.payload_digest in plan.settled:
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


def _job(plan: _Plan, spec: TowerSpec, piece: Piece, jobs: dict[object, TowerJob]) -> TowerJob:
    """The job of a piece: one for all profiles that show the same, declared to be the same."""
    found = TowerJob(plan.item.profile, plan.item.pointer, piece, plan.stored)
    content_type = None
    if piece.kind == "media":
        media = media_at(plan.item.profile, piece.source)
        found.is_dropped = media.sha256 is not None
        content_type = media.content_type  # a wrong one is an error of its own profile alone
    key = spec.kind, content_type, payload_key(piece)
    # What lies at an address may be another thing at each write; of dropped bytes there is nothing.
    is_own = found.is_address or found.is_dropped
    return jobs.setdefault((id(plan), key) if is_own else key, found)


def _settled(stored: bytes) -> frozenset[str]:
    """Digests of the pictures and sounds that are stored already."""
    try:
        pieces = pieces_of(StreamerProfile.model_validate(loads(stored.decode()))) if stored else []
    except ValueError:  # of an earlier release, so all of it is news
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
