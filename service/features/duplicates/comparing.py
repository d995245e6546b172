"""Compares stored streamers by the evidence of the model that is served."""

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import cast

import numpy as np

from model_export.contract.evidence import VERDICTS, Side
from model_export.contract.evidence.sides import VECTOR_KEYS
from service.engine.candidates.corpus import Entry
from service.engine.candidates.postings import hint, strong
from service.engine.evidence.engine import Evidence
from service.engine.evidence.stored_sides import StoredSides
from service.engine.work.lanes import Lane, Lanes
from service.features.duplicates.groups.edges import Edge, Kind, Pair
from service.index.base import VectorIndex
from service.store.base import Record

_PAIRS_AT_ONCE = 1024
_STRONG_BITS = 10.0
"""So much beyond the threshold, an edge alone holds two parts of a group: a thousand to one."""
_STRONG = {"contacts": 16, "pictures": 12, "sounds": 8, VECTOR_KEYS: 12}
_HINTS = {"names": 4, "titles": 12, "text": 6}
"""Keys that are taken of a channel. Of the shingles of a text the smallest hashes are a random
sample that is the same for the same text (bottom-k; Cohen 2007)."""


class EvidenceComparer:
    """A `Comparer` by match weights, in bits."""

    def __init__(
        self,
        index: Callable[[], VectorIndex],
        evidence: Evidence,
        sides: StoredSides,
        lanes: Lanes,
    ) -> None:
        """Compare in `lanes`.

        Args:
            index: the one that is live, which knows versions.
            evidence: of the model.
            sides: of stored streamers.
            lanes: where it is done.
        """
        self._index = index
        self._evidence = evidence
        self._sides = sides
        self._lanes = lanes

    @property
    def strong_weight(self) -> float:
        """Far beyond the threshold of the evidence."""
        return self._evidence.matcher.parameters.threshold + _STRONG_BITS

    def entry_of(self, record: Record) -> Entry:
        """What the corpus of candidates knows of a record; call it in a thread."""
        side = self._sides.side_of(record)
        content = np.frombuffer(record.content, "<f2").astype(np.float32)
        return Entry(content if len(content) else None, side.embedding, frozenset(_keys_of(side)))

    async def edges(self, pairs: Sequence[Pair]) -> list[Edge]:
        """Those of the pairs that are duplicates; see `Comparer.edges`."""
        found: list[Edge] = []
        for start in range(0, len(pairs), _PAIRS_AT_ONCE):
            found += await self._some(pairs[start : start + _PAIRS_AT_ONCE])
        return found

    async def _some(self, pairs: Sequence[Pair]) -> list[Edge]:
        names = sorted({name for pair in pairs for name in pair})
        rows = await self._index().get(names)
        versions = [None if row is None else row.version for row in rows]
        found = await self._sides.get(names, versions, Lane.BULK)
        sides = {name: side for name, side in zip(names, found, strict=True) if side is not None}
        known = [pair for pair in pairs if pair[0] in sides and pair[1] in sides]
        if not known:
            return []
        return await self._lanes.run_in_slices(self._compared(sides, known), Lane.BULK)

    def _compared(
        self, sides: dict[str, Side], pairs: Sequence[Pair]
    ) -> Generator[None, None, list[Edge]]:
        place = {name: i for i, name in enumerate(sides)}
        one = np.array([place[a] for a, _ in pairs])  # (P,)
        other = np.array([place[b] for _, b in pairs])
        compared = yield from self._evidence.compare(list(sides.values()), one, other)
        matches = compared.matches
        return [
            Edge(
                *pairs[i],
                round(float(matches.weights[i]), 6),
                cast(Kind, VERDICTS[int(matches.verdicts[i])]),
            )
            for i in np.flatnonzero(matches.joined).tolist()
        ]


def _keys_of(side: Side) -> Iterable[int]:
    if side.name is not None:
        yield strong(side.name)
    for marked, channels in ((strong, _STRONG), (hint, _HINTS)):
        for channel, most in channels.items():
            yield from map(marked, side.of(channel)[:most].tolist())
