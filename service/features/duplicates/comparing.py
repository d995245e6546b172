"""Compares stored streamers by the evidence of the model that is served."""

from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import VERDICTS, Side
from service.engine.candidates.corpus import Entry
from service.engine.candidates.keys import asked_keys, kept_keys
from service.engine.evidence.engine import PART_PAIRS, Evidence
from service.engine.evidence.packed_sides import PackedSides
from service.engine.evidence.stored_sides import StoredSides
from service.engine.work.lanes import Lane, Lanes
from service.features.duplicates.groups.edges import Edge, Kind, Pair
from service.store.base import Record

_PAIRS_AT_ONCE = 1024
_STRONG_BITS = 10.0
"""So much beyond the threshold, an edge alone holds two parts of a group: a thousand to one."""


class EvidenceComparer:
    """A `Comparer` by match weights, in bits."""

    def __init__(
        self, evidence: Evidence, sides: StoredSides, lanes: Lanes, folder: Path | None = None
    ) -> None:
        """Compare in `lanes`.

        Args:
            evidence: of the model.
            sides: of stored streamers.
            lanes: where it is done.
            folder: of the sides of all, while they are compared; None: where temporary files are.
        """
        self._evidence = evidence
        self._sides = sides
        self._lanes = lanes
        self._folder = folder

    @property
    def strong_weight(self) -> float:
        """Far beyond the threshold of the evidence."""
        return self._evidence.matcher.parameters.threshold + _STRONG_BITS

    def entry_of(self, record: Record) -> Entry:
        """What is searched and compared of a record; call it in a thread."""
        side = self._sides.side_of(record)
        content = np.frombuffer(record.content, "<f2").astype(np.float32)
        return Entry(
            content if len(content) else None,
            side.embedding,
            kept_keys(side),
            asked_keys(side),
            record.version,
            side,
        )

    def keep(self, streamer_id: str, entry: Entry) -> None:
        """Take in what was just read of a streamer."""
        if entry.side is not None:
            self._sides.keep(streamer_id, entry.version, entry.side)

    async def edges(
        self, pairs: Sequence[Pair], version_of: Callable[[str], int | None]
    ) -> list[Edge]:
        """Those of the pairs that are duplicates; see `Comparer.edges`."""
        found: list[Edge] = []
        for start in range(0, len(pairs), _PAIRS_AT_ONCE):
            found += await self._some(pairs[start : start + _PAIRS_AT_ONCE], version_of)
        return found

    def of_all(self) -> "EvidenceOfAll":
        """A comparer for who compares all streamers."""
        return EvidenceOfAll(self._evidence, self._lanes, self._folder)

    async def _some(
        self, pairs: Sequence[Pair], version_of: Callable[[str], int | None]
    ) -> list[Edge]:
        names = sorted({name for pair in pairs for name in pair})
        found = await self._sides.get(names, [version_of(name) for name in names], Lane.BULK)
        sides = {name: side for name, side in zip(names, found, strict=True) if side is not None}
        known = [pair for pair in pairs if pair[0] in sides and pair[1] in sides]
        if not known:
            return []
        return await self._lanes.run_in_slices(_compared(self._evidence, sides, known), Lane.BULK)


class EvidenceOfAll:
    """A `ComparerOfAll` by match weights: each side is made once and kept in a temporary file."""

    def __init__(self, evidence: Evidence, lanes: Lanes, folder: Path | None) -> None:
        """Nobody is known yet; arguments as of `EvidenceComparer`."""
        self._evidence = evidence
        self._lanes = lanes
        self._sides = PackedSides(folder)

    def put(self, streamer_id: str, entry: Entry) -> None:
        """Keep the side of a streamer."""
        if entry.side is not None:
            self._sides.put(streamer_id, entry.side)

    def asked(self, streamer_id: str) -> NDArray[np.uint32]:
        """Keys by which a streamer that was put finds others (K,)."""
        return asked_keys(self._sides.get(streamer_id))

    async def edges(self, pairs: Sequence[Pair]) -> list[Edge]:
        """Those of the pairs that are duplicates; see `ComparerOfAll.edges`."""
        return await self._lanes.run_in_slices(self._in_parts(pairs), Lane.BULK)

    def close(self) -> None:
        """Drop the file."""
        self._sides.close()

    def _in_parts(self, pairs: Sequence[Pair]) -> Generator[None, None, list[Edge]]:
        edges: list[Edge] = []
        for start in range(0, len(pairs), PART_PAIRS):
            part = pairs[start : start + PART_PAIRS]
            names = {name for pair in part for name in pair if name in self._sides}
            sides = {name: self._sides.get(name) for name in names}
            yield
            known = [pair for pair in part if pair[0] in sides and pair[1] in sides]
            if known:
                edges += yield from _compared(self._evidence, sides, known)
        return edges


def _compared(
    evidence: Evidence, sides: Mapping[str, Side], pairs: Sequence[Pair]
) -> Generator[None, None, list[Edge]]:
    place = {name: i for i, name in enumerate(sides)}
    one = np.array([place[a] for a, _ in pairs])  # (P,)
    other = np.array([place[b] for _, b in pairs])
    compared = yield from evidence.compare(list(sides.values()), one, other)
    matches = compared.matches
    return [
        Edge(
            *pairs[i],
            round(float(matches.weights[i]), 6),
            cast(Kind, VERDICTS[int(matches.verdicts[i])]),
        )
        for i in np.flatnonzero(matches.joined).tolist()
    ]
