"""The places of all streamers of an index on one layout, by slot."""

from collections.abc import Generator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.engine.layouts.anchors import Placer
from service.index.slots import Slotted

_AT_ONCE = 128
"""Streamers that are placed before others have their turn."""
_BLOCK = 1 << 16
"""Places that are looked at before others have their turn."""
_TOP_BITS = 4
_SCATTER = np.uint32(2_654_435_761)
"""An odd number near 2**32 over the golden ratio: multiples of it lie apart (Knuth, TAOCP 6.4)."""


class Points(NamedTuple):
    """Streamers on the map; whatever part of it comes first is spread over all of it.

    Attributes:
        slots: uint32 (N,), of the index.
        places: uint16 (N, 2), in steps of the frame.
        versions: int64 (N,), of who was in these slots then.
    """

    slots: NDArray[np.uint32]
    places: NDArray[np.uint16]
    versions: NDArray[np.int64]


class Within(NamedTuple):
    """Who is in a part of the map.

    Attributes:
        total: how many are in it.
        nearest: those nearest to its middle.
    """

    total: int
    nearest: Points


class Circle(NamedTuple):
    """A part of the map: what lies so near to a point, in steps."""

    x: float
    y: float
    radius: float

    @property
    def centre(self) -> tuple[float, float]:
        """Its middle."""
        return self.x, self.y

    def holds(self, places: NDArray[np.float64]) -> Generator[None, None, NDArray[np.bool_]]:
        """Which of some places (C, 2) are in it."""
        yield
        return ((places - np.array(self.centre)) ** 2).sum(1) <= self.radius**2


class Polygon:
    """A part of the map: what a line around it encloses, by the even-odd rule."""

    def __init__(self, corners: Sequence[tuple[float, float]]) -> None:
        """Join at least three corners (x, y), in steps."""
        self._corners = np.array(corners, np.float64)  # (P, 2)

    @property
    def centre(self) -> tuple[float, float]:
        """The mean of its corners."""
        x, y = self._corners.mean(0).tolist()
        return x, y

    def holds(self, places: NDArray[np.float64]) -> Generator[None, None, NDArray[np.bool_]]:
        """Which of some places (C, 2) are in it; a generator that pauses after each side."""
        low, high = self._corners.min(0), self._corners.max(0)
        inside = np.zeros(len(places), np.bool_)
        near = np.flatnonzero(((places >= low) & (places <= high)).all(1))
        xs, ys = places[near].T
        odd = np.zeros(len(near), np.bool_)
        for (ax, ay), (bx, by) in zip(self._corners, np.roll(self._corners, -1, 0), strict=True):
            beside = np.flatnonzero((ys >= ay) != (ys >= by))
            odd[beside] ^= xs[beside] < (bx - ax) * (ys[beside] - ay) / (by - ay) + ax
            yield
        inside[near] = odd
        return inside


Shape = Circle | Polygon


class LayoutMap:
    """Where everyone is. One at a time may place; anyone may read meanwhile.

    What is placed is kept beside the version that it was placed for, so a new version is placed
    anew, and who is deleted is on no map.

    Attributes:
        layout_id: of the layout.
        index: whose streamers they are.
    """

    def __init__(self, layout_id: str, placer: Placer, index: Slotted) -> None:
        """Nobody is placed yet."""
        self.layout_id = layout_id
        self.index = index
        self._placer = placer
        self._places = np.zeros((0, 2), np.uint16)
        self._versions = np.zeros(0, np.int64)
        self._counts = (0, 0)

    @property
    def placed(self) -> int:
        """How many are on the map, as of the last look."""
        return self._counts[0]

    @property
    def waiting(self) -> int:
        """How many are not yet, as of the last look."""
        return self._counts[1]

    def placing(self) -> Generator[None, None, None]:
        """Place everyone who is not; pauses every few milliseconds."""
        live = self.index.live_slots()
        yield
        if len(live.slots):
            self._make_room(int(live.slots[-1]) + 1)
        lacking = live.slots[self._versions[live.slots] != live.versions]
        begin = len(live.slots) - len(lacking)
        self._counts = begin, len(lacking)
        for start in range(0, len(lacking), _AT_ONCE):
            yield
            block = self.index.read_slots(lacking[start : start + _AT_ONCE])
            if len(block.slots):
                places = self._placer.place(block.embeddings)
                self._places[block.slots] = self._placer.frame.steps(places)
                self._versions[block.slots] = block.versions
            done = min(start + _AT_ONCE, len(lacking))
            self._counts = begin + done, len(lacking) - done

    def points(self) -> Generator[None, None, Points]:
        """Everyone who is placed, in an order that is spread over the whole map."""
        slots, versions, places = yield from self._everyone()
        keys = slots * _SCATTER  # modulo 2**32
        tops = keys >> np.uint32(32 - _TOP_BITS)
        order: list[NDArray[np.intp]] = []
        for top in range(1 << _TOP_BITS):  # one after the other, since a sort does not pause
            yield
            rows = np.flatnonzero(tops == top)
            order.append(rows[np.argsort(keys[rows])])
        yield
        rows = np.concatenate(order)
        yield
        slots, versions = slots[rows], versions[rows]
        yield
        return Points(slots, places[slots], versions)

    def within(self, shape: Shape, most: int) -> Generator[None, None, Within]:
        """Who is in a part of the map, the `most` who are nearest to its middle; copies by slot.

        Only these are sorted, a block at a time.
        """
        slots, versions, places = yield from self._everyone()
        centre, total = np.array(shape.centre), 0
        found, squares = np.zeros(0, np.uint32), np.zeros(0)
        for start in range(0, len(slots), _BLOCK):
            some = slots[start : start + _BLOCK]
            there = places[some].astype(np.float64)  # (C, 2)
            held = np.flatnonzero((yield from shape.holds(there)))
            yield
            total += len(held)
            found = np.concatenate([found, some[held]])
            squares = np.concatenate([squares, ((there[held] - centre) ** 2).sum(1)])
            near = _smallest(squares, most)
            found, squares = found[near], squares[near]
        yield
        rows = np.searchsorted(slots, found)
        return Within(total, Points(found, places[found], versions[rows]))

    def _everyone(
        self,
    ) -> Generator[None, None, tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.uint16]]]:
        """Slots of everyone who is placed, ascending, versions (N,), and places by slot (slots, 2).

        Whoever takes one of these slots meanwhile may be placed there too, in another version.
        """
        live, places, placed = self.index.live_slots(), self._places, self._versions
        yield
        slots = live.slots[: int(np.searchsorted(live.slots, len(placed)))]
        versions = live.versions[: len(slots)]
        are_placed = placed[slots] == versions
        yield
        return slots[are_placed], versions[are_placed], places

    def place_of(self, streamer_id: str) -> tuple[int, int] | None:
        """Where a streamer is; None of who is not on the map."""
        places, versions = self._places, self._versions
        (slot,) = self.index.slots_of([streamer_id])
        if slot is None or slot >= len(versions):
            return None
        found = self.index.read_slots(np.array([slot], np.uint32))
        if list(found.ids) != [streamer_id] or versions[slot] != found.versions[0]:
            return None  # not placed, or the slot is somebody else's by now
        x, y = places[slot].tolist()
        return x, y

    def _make_room(self, slots: int) -> None:
        if slots > len(self._versions):
            more = max(slots, len(self._versions) * 3 // 2) - len(self._versions)
            self._places = np.concatenate([self._places, np.zeros((more, 2), np.uint16)])
            self._versions = np.concatenate([self._versions, np.zeros(more, np.int64)])


def _smallest(numbers: NDArray[np.float64], most: int) -> NDArray[np.intp]:
    """Rows of the smallest `most` numbers (n,) in their order; equal ones stay as they are."""
    rows = np.arange(len(numbers))
    if len(numbers) > most:
        rows = np.flatnonzero(numbers <= np.partition(numbers, most - 1)[most - 1])
    return rows[np.argsort(numbers[rows], kind="stable")][:most]
