"""Compares stored streamers by the evidence of the model that is served."""

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import VERDICTS, Side
from model_export.contract.evidence.keys import Hashes
from service.engine.candidates.corpus import Entry
from service.engine.candidates.keys import asked_keys, kept_keys
from service.engine.evidence.engine import Evidence
from service.engine.evidence.packed_sides import pack
from service.engine.evidence.stored_sides import StoredSides
from service.engine.evidence.whole_corpus import (
    Found,
    Joined,
    ReadProfile,
    WholeCorpus,
    joined_in,
    workers_for,
)
from service.engine.work.lanes import Lane, Lanes
from service.features.duplicates.groups.edges import Edge, Kind, Pair
from service.store.base import Record

_PAIRS_AT_ONCE = 1024
_STRONG = 0.99
"""From this probability on, an edge alone holds two parts of a group."""


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
    def rules(self) -> str:
        """Versions of evidence and folding; see `Comparer.rules`."""
        return self._evidence.rules

    @property
    def strong_weight(self) -> float:
        """Where the two are almost certainly the same."""
        matcher = self._evidence.matcher
        return max(matcher.weight_of(_STRONG), matcher.parameters.threshold)

    def entry_of(self, record: Record) -> Entry:
        """What is searched and compared of a record; call it in a thread."""
        side = self._sides.side_of(record)
        return entry_of(record, self._sides, kept_keys(side), asked_keys(side), side)

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

    def of_all(self, streamers: int, *, to_compare: bool) -> "EvidenceOfAll":
        """A comparer for who reads all streamers; see `Comparer.of_all`."""
        workers = workers_for(self._evidence, streamers)
        whole = WholeCorpus(self._evidence, self._lanes, self._folder, workers)
        return EvidenceOfAll(whole, self._sides, self._lanes, keeps=to_compare)

    async def _some(
        self, pairs: Sequence[Pair], version_of: Callable[[str], int | None]
    ) -> list[Edge]:
        names = sorted({name for pair in pairs for name in pair})
        found = await self._sides.get(names, [version_of(name) for name in names], Lane.BULK)
        sides = {name: side for name, side in zip(names, found, strict=True) if side is not None}
        known = [pair for pair in pairs if pair[0] in sides and pair[1] in sides]
        if not known:
            return []
        place = {name: i for i, name in enumerate(sides)}
        one = np.array([place[a] for a, _ in known])  # (P,)
        other = np.array([place[b] for _, b in known])
        work = joined_in(self._evidence, list(sides.values()), one, other)
        return _edges(known, await self._lanes.run_in_slices(work, Lane.BULK))


class EvidenceOfAll:
    """A `ComparerOfAll` by match weights."""

    def __init__(
        self, whole: WholeCorpus, sides: StoredSides, lanes: Lanes, *, keeps: bool
    ) -> None:
        """Nobody is known yet.

        Args:
            whole: does the work.
            sides: of stored streamers.
            lanes: where it is looked for what is made already.
            keeps: whether what is read is compared.
        """
        self._whole = whole
        self._stored = sides
        self._lanes = lanes
        self._keeps = keeps

    @property
    def at_once(self) -> int:
        """So many calls keep everything busy that works."""
        return self._whole.at_once

    async def entries(self, records: Sequence[Record]) -> list[Entry]:
        """What is searched of records; see `ComparerOfAll.entries`."""
        made = await self._lanes.run_in_slices(self._made(records), Lane.BULK)
        left = [record for record in records if record.streamer_id not in made]
        if left:
            read = [ReadProfile(r.profile, self._stored.embedding_of(r)) for r in left]
            names = [record.streamer_id for record in left]
            made |= zip(names, await self._whole.read(read), strict=True)
        entries: list[Entry] = []
        for record in records:
            name, found = record.streamer_id, made[record.streamer_id]
            if self._keeps:
                self._whole.put(name, found.packed)
            self._stored.spill(name, record.version, found.packed)
            entries.append(entry_of(record, self._stored, found.keys, found.asked))
        return entries

    def _made(self, records: Sequence[Record]) -> Generator[None, None, dict[str, Found]]:
        """Those of the records whose sides are made already."""
        made: dict[str, Found] = {}
        for record in records:
            if (side := self._stored.made_of(record)) is not None:
                made[record.streamer_id] = Found(kept_keys(side), asked_keys(side), pack(side))
            yield
        return made

    def asked(self, streamer_id: str) -> NDArray[np.uint32]:
        """Keys by which a streamer that was read finds others (K,)."""
        return asked_keys(self._whole.side(streamer_id))

    async def edges(self, pairs: Sequence[Pair]) -> list[Edge]:
        """Those of the pairs that are duplicates; see `ComparerOfAll.edges`."""
        known = [pair for pair in pairs if pair[0] in self._whole and pair[1] in self._whole]
        return _edges(known, await self._whole.joined(known)) if known else []

    def close(self) -> None:
        """Forget them."""
        self._whole.close()


def entry_of(
    record: Record, stored: StoredSides, keys: Hashes, asked: Hashes, side: Side | None = None
) -> Entry:
    """What a corpus takes in of a record."""
    content = np.frombuffer(record.content, "<f2").astype(np.float32)
    embedding = np.frombuffer(stored.embedding_of(record), "<f4")
    return Entry(
        content if len(content) else None,
        embedding if len(embedding) else None,
        keys,
        asked,
        record.version,
        side,
    )


def _edges(pairs: Sequence[Pair], joined: Joined) -> list[Edge]:
    return [
        Edge(*pairs[row], round(weight, 6), cast(Kind, VERDICTS[verdict]))
        for row, weight, verdict in zip(*joined, strict=True)
    ]
