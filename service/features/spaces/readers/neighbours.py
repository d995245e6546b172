"""Neighbours of a hand-over's streamers: in a file, list by list, each checked as it comes."""

import contextlib
import re
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from model_export.contract.streamer import ID_PATTERN
from service.engine.spaces.packed_ids import PackedIds
from service.engine.spaces.streamer_neighbours import (
    MOST_NEIGHBOURS,
    packed_neighbours,
    shares_of,
)
from service.errors import InvalidRequest
from service.files.spool import Spool, no_room

Where = Callable[[int], str]
"""Names a row of a block for whoever sent it."""
_STREAMER_ID = re.compile(ID_PATTERN)
_EDGE = np.dtype([("row", "<i4"), ("share", "<f2")])
_LATER = -1
"""Row of a neighbour that goes by its id, until all ids are known."""
_BLOCK_BYTES = 1 << 20


class HandedNeighbour(BaseModel):
    """A neighbour by its id, as a line has it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    streamer_id: str
    weight: float


class NeighboursRead:
    """Neighbours of streamers, in the order in which streamers are handed over.

    Attributes:
        count: streamers that have some.
    """

    def __init__(self, path: Path, spool: Spool) -> None:
        """Write them to `path` and a file beside it, where there are some.

        Args:
            path: of the file.
            spool: has the room for it.
        """
        self.count = 0
        self._path = path
        self._ids_path = path.with_name(f"{path.name}.ids")
        self._spool = spool
        self._files: dict[Path, BinaryIO] = {}
        self._lengths = bytearray()
        self._ends = np.zeros(1, np.int64)

    def put(
        self,
        first: int,
        ids: Sequence[str],
        lists: Sequence[Sequence[HandedNeighbour]],
        where: Where,
    ) -> None:
        """Take in the lists of a block of streamers, by ids that may be those of later ones.

        Args:
            first: row of the first of them.
            ids: (b,) of the streamers.
            lists: (b,) neighbours of each.
            where: names a row of the block, for an error.

        Raises:
            InvalidRequest: a list is not usable; names its row.
            SpoolFull: there is no room.
        """
        if not any(lists):
            return
        for row, (own, neighbours) in enumerate(zip(ids, lists, strict=True)):
            names = [each.streamer_id for each in neighbours]
            wrong = _wrong_with(own, names, [each.weight for each in neighbours])
            if wrong:
                raise InvalidRequest(f"{where(row)}: neighbours: {wrong}")
        told = [each for neighbours in lists for each in neighbours]
        weights = np.array([each.weight for each in told], np.float64)
        rows = np.full(len(told), _LATER, np.int32)
        self._append(first, np.array([len(each) for each in lists]), rows, weights)
        text = "".join(f"{each.streamer_id}\n" for each in told).encode()
        self._write(self._ids_path, text)

    def put_rows(
        self,
        first: int,
        rows: NDArray[np.integer],
        weights: NDArray[np.floating],
        count: int,
    ) -> None:
        """Take in the lists of a block of streamers, by rows of the hand-over.

        Args:
            first: row of the first of them.
            rows: (b, m) neighbours, -1 for none.
            weights: (b, m), of any value where there is none.
            count: streamers of the hand-over.

        Raises:
            InvalidRequest: a list is not usable; names its row.
            SpoolFull: there is no room.
        """
        is_there = rows >= 0
        wrong = {
            f"is a row from 0 to {count - 1}, or -1 for none": (rows < -1) | (rows >= count),
            "is not the streamer itself: write -1 in its place": is_there
            & (rows == first + np.arange(len(rows))[:, None]),
            "is there once: write -1 in place of the others": _repeated(rows),
            "has a weight that is positive and finite": is_there
            & ~((weights > 0) & np.isfinite(weights)),
        }
        for rule, broken in wrong.items():
            if broken.any():
                row, place = (int(found[0]) for found in np.nonzero(broken))
                told = f"{int(rows[row, place])} with the weight {float(weights[row, place])}"
                raise InvalidRequest(
                    f"neighbour_rows[{first + row}]: has {told}; a neighbour {rule}"
                )
        self._append(first, is_there.sum(axis=1), rows[is_there], weights[is_there])

    def close(self, ids: PackedIds) -> Generator[None, None, None]:
        """Complete them, in steps.

        Args:
            ids: of all streamers.

        Raises:
            InvalidRequest: one is not among the streamers; names it, and whose it is.
            SpoolFull: there is no room.
        """
        with no_room():
            for file in self._files.values():
                file.close()
        self._lengths.extend(bytes(len(ids) - len(self._lengths)))
        lengths = np.frombuffer(self._lengths, np.uint8)
        self.count = int(np.count_nonzero(lengths))
        self._ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        if self._ids_path not in self._files:
            return
        edges, done = np.memmap(self._path, _EDGE, "r+"), 0
        with self._ids_path.open("rb") as file:
            rest = b""
            while part := file.read(_BLOCK_BYTES):
                whole, _, rest = (rest + part).rpartition(b"\n")
                rows = self._rows_of(whole, done, ids)
                edges["row"][done : done + len(rows)] = rows
                done += len(rows)
                yield
        with no_room():
            edges.flush()

    @property
    def mean_length(self) -> float:
        """Neighbours of a streamer that has some, on average; complete after `close`."""
        return float(self._ends[-1]) / max(self.count, 1)

    def packed(self, start: int, end: int) -> bytes:
        """Neighbours of some streamers as one chunk."""
        edges = self._edges()[self._ends[start] : self._ends[end]]
        lengths = np.diff(self._ends[start : end + 1])
        return packed_neighbours(np.arange(start, end), lengths, edges["row"], edges["share"])

    def some(self, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of up to `most` streamers drawn at random, and one neighbour of each."""
        having = np.flatnonzero(np.diff(self._ends))
        draw = np.random.default_rng(0)
        rows = np.sort(draw.permutation(having)[:most])
        lengths = self._ends[rows + 1] - self._ends[rows]
        chosen = self._ends[rows] + draw.integers(lengths)
        return rows, self._edges()["row"][chosen].astype(np.int64)

    def discard(self) -> None:
        """Remove the files."""
        for path, file in self._files.items():
            with contextlib.suppress(OSError):
                file.close()
            path.unlink(missing_ok=True)

    def _append(
        self,
        first: int,
        lengths: NDArray[np.integer],
        rows: NDArray[np.integer],
        weights: NDArray[np.floating],
    ) -> None:
        self._lengths.extend(bytes(first - len(self._lengths)))  # of those who have none
        self._lengths.extend(lengths.astype(np.uint8).tobytes())
        edges = np.empty(len(rows), _EDGE)
        edges["row"], edges["share"] = rows, shares_of(weights, lengths)
        self._write(self._path, edges.tobytes())

    def _write(self, path: Path, data: bytes) -> None:
        self._spool.check_room(len(data))
        with no_room():
            if path not in self._files:
                self._files[path] = path.open("xb")
            self._files[path].write(data)

    def _edges(self) -> NDArray[Any]:
        if not self._ends[-1]:
            return np.empty(0, _EDGE)
        return np.memmap(self._path, _EDGE, "r")

    def _rows_of(self, names: bytes, done: int, ids: PackedIds) -> NDArray[np.int64]:
        """Rows of names, one a line, of which the first is neighbour `done` of all."""
        text = np.frombuffer(names + b"\n", np.uint8)
        breaks = np.flatnonzero(text == ord("\n"))
        ends = (breaks - np.arange(len(breaks))).astype(np.uint64)
        rows = ids.rows_of(text[text != ord("\n")].tobytes(), ends)
        unknown = np.flatnonzero(rows < 0)
        if len(unknown):
            place = int(unknown[0])
            owner = ids[int(np.searchsorted(self._ends, done + place, "right")) - 1]
            name = names.split(b"\n", place + 1)[place].decode()
            raise InvalidRequest(
                f"neighbours: {name!r}, which {owner!r} has, is not among the streamers of this "
                "hand-over: leave it out, or hand its vector over as well"
            )
        return rows


def too_many(count: int) -> str | None:
    """What is wrong with a list of so many neighbours; None if nothing is."""
    if count <= MOST_NEIGHBOURS:
        return None
    return f"there are {count}; {MOST_NEIGHBOURS} may be: send those that weigh most"


def _wrong_with(own: str, names: Sequence[str], weights: Sequence[float]) -> str | None:
    """What keeps a list from being used, with the remedy; None if nothing does."""
    if wrong := too_many(len(names)):
        return wrong
    for name, weight in zip(names, weights, strict=True):
        if not 0 < weight < float("inf"):  # NaN is not
            return f"the weight of {name[:100]!r} is {weight}; it is positive and finite"
        if not _STREAMER_ID.fullmatch(name):
            return f"{name[:100]!r} is no id of a streamer: leave it out"
    if own in names:
        return f"{own!r} is there itself: leave it out"
    if len(set(names)) < len(names):
        twice = next(name for row, name in enumerate(names) if name in names[:row])
        return f"{twice!r} is there twice: send it once"
    return None


def _repeated(rows: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Where a row (b, m) has a number that it has already; -1 may be there often."""
    order = np.argsort(rows, axis=1, kind="stable")
    ordered = np.take_along_axis(rows, order, 1)
    again = np.zeros(rows.shape, np.bool_)
    again[:, 1:] = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    found = np.zeros(rows.shape, np.bool_)
    np.put_along_axis(found, order, again, 1)
    return found
