"""Which rows an ANN segment still has as they are, and which must be scanned beside it."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from service.index.faiss.ann.segment import AnnSegment
from service.index.faiss.rows.numeric import slots_of
from service.index.faiss.rows.view import Candidates


class Coverage:
    """Splits the live slots in two: `covered` by the segment, and `fresh`.

    A segment may have been built of the rows as they once were. A slot that was left since, or
    taken since, is not covered; so each live row is in exactly one of the two. Not safe from
    several threads.

    Attributes:
        segment: what is searched; None where everything is scanned.
        covered: its slots that still hold the row it was built of.
        fresh: all other live slots.
    """

    def __init__(self) -> None:
        self.segment: AnnSegment | None = None
        self.covered = BitMap()
        self.fresh = BitMap()
        self._is_covered = np.zeros(0, np.bool_)  # by slot
        self._fresh_slots: NDArray[np.int64] | None = None  # of `fresh`; None when it changed
        self._building: BitMap | None = None  # slots of the segment that is being built

    def show(self, slot: int) -> None:
        """A slot is live from now on."""
        self.fresh.add(slot)
        self._fresh_slots = None

    def leave(self, slot: int) -> None:
        """A live slot is so no more."""
        if slot in self.covered:
            self.covered.remove(slot)
            self._is_covered[slot] = False
        elif slot in self.fresh:
            self.fresh.remove(slot)
            self._fresh_slots = None
        if self._building is not None:
            self._building.discard(slot)

    def begin_build(self, live: BitMap) -> None:
        """A segment of these slots is being built."""
        self._building = live.copy()

    def end_build(self) -> None:
        """It was adopted, or is not to be."""
        self._building = None

    def adopt(self, segment: AnnSegment | None, live: BitMap, used: int) -> None:
        """Search the segment that was built, or none; `live` of `used` slots are."""
        building, self._building = self._building, None
        covered = BitMap() if segment is None or building is None else building
        self.use(segment, covered, live, used)

    def use(self, segment: AnnSegment | None, covered: BitMap, live: BitMap, used: int) -> None:
        """Search a segment that covers these slots; `live` of `used` slots are."""
        self.segment, self.covered = segment, covered
        self._is_covered = np.zeros(used, np.bool_)
        self._is_covered[slots_of(covered)] = True
        self.fresh, self._fresh_slots = live - covered, None

    def candidates(self, found: NDArray[np.int64], exclude: Collection[int]) -> Candidates:
        """Candidates among the slots that the segment found (S,) and fresh ones."""
        if self._fresh_slots is None:
            self._fresh_slots = slots_of(self.fresh)
        fresh, covered = self._fresh_slots, len(self.covered)
        if not exclude:
            found = found[self._is_covered[found]]
        else:  # in one pass over each, since the rows are locked meanwhile
            out = BitMap(exclude)
            gone = slots_of(out & self.covered)
            self._is_covered[gone] = False
            found = found[self._is_covered[found]]
            self._is_covered[gone] = True
            covered -= len(gone)
            if out.intersect(self.fresh):
                fresh = np.delete(fresh, np.searchsorted(fresh, slots_of(out & self.fresh)))
        slots = np.concatenate([found, fresh]) if len(fresh) else found
        return Candidates(slots, len(found), covered, covered + len(fresh))
