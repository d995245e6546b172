"""Comparing all streamers with each other: each side is made once and kept in a file.

Of a large corpus the work is done by processes: it is minutes of Python, during which threads of
the same process would wait for its lock again and again.
"""

import os
from collections.abc import Callable, Generator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import Side
from model_export.contract.streamer import StreamerProfile
from service.engine.candidates.keys import asked_keys, kept_keys
from service.engine.evidence.engine import PART_PAIRS, Compared, Evidence, Places
from service.engine.evidence.packed_sides import Packed, PackedSides, pack, read_file, unpack
from service.engine.work.lanes import Lane, Lanes
from service.engine.work.workers import Workers, WorkersLost

Result = TypeVar("Result")
MOST_WORKERS = 4
FEWEST_STREAMERS = 2000
"""Fewer are done before processes have begun."""


class ReadProfile(NamedTuple):
    """A stored profile, and its embedding (D,) float32 as bytes; empty without one."""

    profile: bytes
    embedding: bytes


class Found(NamedTuple):
    """What is searched and compared of a profile.

    Attributes:
        keys: `kept_keys` (K,).
        asked: `asked_keys` (A,).
        packed: its side.
    """

    keys: NDArray[np.uint32]
    asked: NDArray[np.uint32]
    packed: Packed


class Joined(NamedTuple):
    """Pairs that are duplicates.

    Attributes:
        rows: of the pairs that were asked for (J,).
        weights: in bits (J,).
        verdicts: numbers of `VERDICTS` (J,); `same_contact` where nothing else joins the two.
    """

    rows: list[int]
    weights: list[float]
    verdicts: list[int]


def workers_for(evidence: Evidence, streamers: int) -> Workers | None:
    """Processes that do the work for so many streamers; None where threads are quicker."""
    count = min(len(os.sched_getaffinity(0)), MOST_WORKERS)
    if streamers < FEWEST_STREAMERS or count < 2:
        return None
    return Workers(count, partial(_begin, evidence))


class WholeCorpus:
    """The sides of all streamers. For one event loop."""

    def __init__(
        self, evidence: Evidence, lanes: Lanes, folder: Path | None, workers: Workers | None
    ) -> None:
        """Nobody is known yet.

        Args:
            evidence: of the model.
            lanes: where the work is done without `workers`, or when they are lost.
            folder: of the file; None: where temporary files are.
            workers: processes; they end with this.
        """
        self._evidence = evidence
        self._lanes = lanes
        self._workers = workers
        self._sides = PackedSides(folder)

    @property
    def at_once(self) -> int:
        """So many calls keep everything busy that works."""
        return 2 if self._workers is None else self._workers.count + 2

    async def read(self, profiles: Sequence[ReadProfile]) -> list[Found]:
        """What is searched and compared of profiles.

        Raises:
            Overloaded: too much work waits already.
        """
        return await self._run(partial(_read, profiles), partial(_read_here, profiles))

    def put(self, streamer_id: str, packed: Packed) -> None:
        """Keep the side of a streamer."""
        self._sides.put(streamer_id, packed)

    def __contains__(self, streamer_id: str) -> bool:
        """Whether the side of a streamer is kept."""
        return streamer_id in self._sides

    def side(self, streamer_id: str) -> Side:
        """The side of a streamer that was put."""
        return self._sides.get(streamer_id)

    async def joined(self, pairs: Sequence[tuple[str, str]]) -> Joined:
        """Which of some pairs of streamers that were put are duplicates.

        Raises:
            Overloaded: too much work waits already.
        """
        names = sorted({name for pair in pairs for name in pair})
        number = {name: i for i, name in enumerate(names)}
        one = np.array([number[a] for a, _ in pairs], np.int64)
        other = np.array([number[b] for _, b in pairs], np.int64)
        places = np.array([self._sides.place(name) for name in names], np.int64)
        return await self._run(
            partial(_joined, self._sides.file(), places, one, other),
            lambda evidence: joined_in(
                evidence, [self._sides.get(name) for name in names], one, other
            ),
        )

    async def _run(
        self,
        in_worker: Callable[[], Result],
        here: Callable[[Evidence], Generator[None, None, Result]],
    ) -> Result:
        if self._workers is not None:
            try:
                return await self._workers.run(in_worker)
            except WorkersLost:
                self._workers = None
        return await self._lanes.run_in_slices(here(self._evidence), Lane.BULK)

    def close(self) -> None:
        """Drop the file, and end the processes."""
        self._sides.close()
        if self._workers is not None:
            self._workers.close()


def joined_in(
    evidence: Evidence, sides: Sequence[Side], one: Places, other: Places
) -> Generator[None, None, Joined]:
    """Which pairs of a list are duplicates; a generator that pauses every few milliseconds.

    Args:
        evidence: of the model.
        sides: the list.
        one: places of one side of each pair (P,).
        other: places of the other side (P,).
    """
    parts: list[Joined] = []
    for start in range(0, len(one), PART_PAIRS):
        part = slice(start, start + PART_PAIRS)
        told = np.zeros(len(one[part]), np.bool_)
        compared = yield from evidence.compare(sides, one[part], other[part], told=told)
        rows, weights, verdicts = joined_of(evidence, compared)
        parts.append(Joined([row + start for row in rows], weights, verdicts))
    return Joined(*(list(chain.from_iterable(column)) for column in zip(*parts, strict=True)))


def joined_of(evidence: Evidence, compared: Compared) -> Joined:
    """Which of the pairs that were compared are duplicates."""
    matches, rows = compared.matches, np.flatnonzero(compared.matches.joined)
    if not len(rows):
        return Joined([], [], [])
    # An agency's contact in common takes nothing away from who shares its texts as well.
    apart = evidence.matcher.match(compared.levels[rows], ["contacts"])
    verdicts = np.where(apart.joined, apart.verdicts, matches.verdicts[rows])
    return Joined(rows.tolist(), matches.weights[rows].tolist(), verdicts.tolist())


class _State:
    """Of a worker process."""

    evidence: Evidence
    file: str = ""
    numbers: Packed


def _begin(evidence: Evidence) -> None:
    _State.evidence = evidence


def _read(profiles: Sequence[ReadProfile]) -> list[Found]:
    return _all_of(_read_here(profiles, _State.evidence))


def _read_here(
    profiles: Sequence[ReadProfile], evidence: Evidence
) -> Generator[None, None, list[Found]]:
    found: list[Found] = []
    for text, vector in profiles:
        embedding = np.frombuffer(vector, "<f4").astype(np.float32) if vector else None
        side = evidence.side(StreamerProfile.model_validate_json(text), embedding)
        found.append(Found(kept_keys(side), asked_keys(side), pack(side)))
        yield
    return found


def _joined(file: str, places: Places, one: Places, other: Places) -> Joined:
    if file != _State.file or places.max() >= len(_State.numbers):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            _State.file, _State.numbers = file, read_file(descriptor)
        finally:
            os.close(descriptor)
    sides = [unpack(_State.numbers, place) for place in places.tolist()]
    return _all_of(joined_in(_State.evidence, sides, one, other))


def _all_of(work: Generator[None, None, Result]) -> Result:
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value
