"""Profiles to features, with what the towers see in them.

What a tower made once is not made again: vectors come from the stored record, from those used last,
and only then from the tower.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from model_export.contract.errors import UnreadableContent
from model_export.contract.features import Features, Featurizer
from model_export.contract.pieces import Piece, pieces_of
from model_export.contract.streamer import StreamerProfile
from model_export.contract.text import readable
from model_export.contract.towers import TowerSpec, payload_key, pieces_for, vector_piece
from service.errors import InvalidRequest, ServiceError
from service.retrieval.tower_work import PART, TowerWork
from service.vectors import Key, RecentVectors, Vector, pack, unpack


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
    """

    profile: StreamerProfile
    pointer: str = ""
    tower_vectors: bytes = b""


@dataclass(frozen=True, eq=False)
class _Seen:
    """A piece that a tower reads."""

    spec: TowerSpec
    piece: Piece
    key: Key


class Reader:
    """Reads profiles for one encoder."""

    def __init__(
        self,
        featurizer: Featurizer,
        work: TowerWork | None = None,
        recent: RecentVectors | None = None,
    ) -> None:
        """Without `work` there are no towers; `recent` serves pieces that come again."""
        self._featurizer = featurizer
        self._work = work
        self._specs = [] if work is None else work.specs
        self._recent = RecentVectors(0) if recent is None else recent

    @property
    def has_towers(self) -> bool:
        """Whether what is stored of a profile's pieces is of use."""
        return bool(self._specs)

    async def read(self, item: ToRead) -> Reading:
        """Read a profile that somebody waits for.

        Raises:
            InvalidRequest: a part of it can't be read by this model; all such parts are named.
            Overloaded: too much waits already, or the deadline passed.
        """
        (found,) = await self._read([item], queued=True)
        if isinstance(found, ServiceError):
            raise found
        return found

    async def read_many(self, items: Sequence[ToRead]) -> list[Reading | ServiceError]:
        """Read many profiles, however long it takes; for one that can't be read, what is wrong."""
        return await self._read(items, queued=False)

    async def _read(self, items: Sequence[ToRead], *, queued: bool) -> list[Reading | ServiceError]:
        results: list[Reading | ServiceError | None] = [None] * len(items)
        pieces: dict[int, list[Piece]] = {}
        for i, item in enumerate(items):
            if len(items) > 1:
                await asyncio.sleep(0)  # others have their turn
            found = pieces_of(item.profile)
            if not self._specs:
                results[i] = self._featurised(item, found, {})
                continue
            try:
                # What is wrong with it must show before the towers are asked.
                self._featurizer.from_pieces([p for p in found if p.kind == "vector"])
                pieces[i] = found
            except UnreadableContent as error:
                results[i] = _invalid(item, error)
        seen = {i: self._seen(found) for i, found in pieces.items()}
        known = {i: self._known(items[i].tower_vectors, seen[i]) for i in pieces}
        missing: dict[Key, _Seen] = {
            s.key: s for i in pieces for s in seen[i] if s.key not in known[i]
        }
        made = await self._make(missing.values(), queued=queued)
        for i, found in pieces.items():
            if len(items) > 1:
                await asyncio.sleep(0)
            mine = known[i]
            vectors = {s.key: mine[s.key] if s.key in mine else made[s.key] for s in seen[i]}
            read = [vector_piece(s.spec, s.piece, vectors[s.key]) for s in seen[i]]
            results[i] = self._featurised(items[i], [*found, *read], vectors)
        return [result for result in results if result is not None]

    def _seen(self, pieces: Sequence[Piece]) -> list[_Seen]:
        return [
            _Seen(spec, piece, (bytes.fromhex(spec.version), payload_key(spec, piece)))
            for spec in self._specs
            for piece in pieces_for(spec, pieces)
        ]

    def _known(self, packed: bytes, seen: Iterable[_Seen]) -> dict[Key, Vector]:
        """Of what a profile's towers need, what need not be made."""
        stored = unpack(packed)
        found = {s.key: stored.get(s.key, self._recent.get(s.key)) for s in seen}
        return {key: vector for key, vector in found.items() if vector is not None}

    async def _make(self, missing: Iterable[_Seen], *, queued: bool) -> dict[Key, Vector]:
        """Let the towers make vectors, a part at a time."""
        made: dict[Key, Vector] = {}
        by_tower: dict[str, list[_Seen]] = {}
        for s in missing:
            by_tower.setdefault(s.spec.name, []).append(s)
        for name, all_of_it in by_tower.items():
            assert self._work is not None
            for start in range(0, len(all_of_it), PART):
                part = all_of_it[start : start + PART]
                payloads = [readable(s.piece.text) for s in part]
                vectors = await self._work.encode(name, payloads, queued=queued)
                for s, vector in zip(part, vectors, strict=True):
                    made[s.key] = vector
                    self._recent.put(s.key, vector)
        return made

    def _featurised(
        self, item: ToRead, pieces: Sequence[Piece], vectors: Mapping[Key, Vector]
    ) -> Reading | ServiceError:
        try:
            return Reading(self._featurizer.from_pieces(pieces), pack(vectors))
        except UnreadableContent as error:
            return _invalid(item, error)


def _invalid(item: ToRead, error: UnreadableContent) -> InvalidRequest:
    where = error.source.replace("[", "/").replace("]", "").replace(".", "/")
    return InvalidRequest.of(f"{item.pointer}/{where}", error.reason)
