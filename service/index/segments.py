"""An index in two parts: a base that FAISS searches fast, and what was written since, exactly.

The base is of the rows as they were when it was built, and is never changed. Rows that were changed
or removed since are passed over in it, at once; new versions are scanned. When too many are, a new
base is built beside the old one and takes its place. What happened meanwhile needs no replay: the
rows themselves are always up to date, and the base only says where to look.
"""

import logging
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.index import approximate, scan
from service.index.approximate import AUTOMATIC, NEIGHBOURS, Base, Refused, Stopped
from service.index.base import EVERYONE, EXACT, IndexState, Scorer, SearchResult
from service.index.filters import Filter
from service.index.flat import QUICK_ROWS, FlatIndex, hits_of
from service.index.rows import Segments

_log = logging.getLogger(__name__)
_TRIES = 3
"""Searches of the base, each four times as wide as the last, until enough live rows are found."""


@dataclass(frozen=True)
class Plan:
    """When there is a base, and of which kind.

    Attributes:
        factory: a FAISS factory string, or `auto`.
        from_rows: below, everything is scanned.
        recall: the share of the 50 nearest that a base must find to be used.
        fresh_share: a new base is built when so many rows, by those of the base, are not in it ...
        fresh_rows: ... and so many at least.
        dead_share: the same of rows of the base that are no more.
    """

    factory: str = AUTOMATIC
    from_rows: int = 50_000
    recall: float = 0.99
    fresh_share: float = 0.05
    fresh_rows: int = 2000
    dead_share: float = 0.2


class SegmentedIndex(FlatIndex):
    """See the module. Someone has to call `rebuild` when it `is_due`, in a thread of their own."""

    def __init__(
        self,
        dim: int,
        content_dim: int,
        established: Collection[str] = (),
        plan: Plan | None = None,
    ) -> None:
        """An empty index, as `FlatIndex`."""
        super().__init__(dim, content_dim, established)
        self._plan = plan or Plan()
        self._refused_at = 0  # rows, when the last base was refused
        self._refused: str | None = None
        self._one_at_a_time = threading.Lock()

    def search(
        self,
        seeds: NDArray[np.float32],
        scorer: Scorer | None,
        k: int,
        *,
        exclude: Collection[str] = (),
        min_score: float | None = None,
        wanted: Filter = EVERYONE,
        established_only: bool = False,
        exact: bool = False,
    ) -> SearchResult:
        """By the base where nothing but the cosine with one seed counts; else by a scan."""
        plain = scorer is None and min_score is None and not wanted and not established_only
        if plain and not exact and k <= NEIGHBOURS:
            with self._rows.segments(exclude) as segments:
                found = None if segments is None else _nearest(seeds[0], k, segments)
            if found is not None:
                return found
        return super().search(
            seeds,
            scorer,
            k,
            exclude=exclude,
            min_score=min_score,
            wanted=wanted,
            established_only=established_only,
        )

    def is_quick(self, k: int, *, plain: bool) -> bool:
        """Whether nobody minds waiting for it; see `VectorIndex.is_quick`."""
        base, _, fresh = self._rows.sizes()
        if base is not None and plain:
            return k <= NEIGHBOURS and fresh <= QUICK_ROWS
        return super().is_quick(k, plain=plain)

    @property
    def base(self) -> Base | None:
        """What it searches at the moment, if anything."""
        return self._rows.sizes()[0]

    def state(self) -> IndexState:
        """How it answers at the moment."""
        base, covered, fresh = self._rows.sizes()
        if base is None:
            return IndexState(EXACT, covered + fresh, None, self._refused)
        return IndexState(base.factory, fresh, base.recall, self._refused)

    def is_due(self) -> bool:
        """Whether there should be a new base, or none any more."""
        plan = self._plan
        base, covered, fresh = self._rows.sizes()
        rows = covered + fresh
        if self._refused and self._refused_at / 2 < rows < self._refused_at * 2:
            return False
        if base is None:
            return rows >= plan.from_rows
        size = len(base.slots)
        return (
            fresh > max(plan.fresh_share * size, plan.fresh_rows)
            or size - covered > plan.dead_share * size
        )

    def rebuild(self, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """Build a base of all rows and put it in the old one's place; takes seconds to minutes.

        Where none can be had that is good enough, all stays as it is, and `state` says why: what is
        not in the old base, if there is one, is scanned.
        """
        with self._one_at_a_time, self._rows.building() as view:
            if view.size < self._plan.from_rows:
                self._rows.adopt(None)
                return
            factory = self._plan.factory
            if factory == AUTOMATIC:
                factory = approximate.factory_for(view.size)
            _log.info("building %s of %d rows", factory, view.size)
            try:
                base = approximate.build(factory, view, self._plan.recall, is_stopped)
            except Stopped:
                return
            except Refused as refused:
                _log.warning("no new base, so more is scanned: %s", refused)
                self._refused, self._refused_at = str(refused), view.size
                return
            self._refused = None
            self._rows.adopt(base)
            _log.info(
                "%d rows are in %s %s, recall %.4f", view.size, factory, base.effort, base.recall
            )


def _nearest(query: NDArray[np.float32], k: int, segments: Segments) -> SearchResult | None:
    """The k best of both parts; None when the base does not come up with enough live rows."""
    view = segments.view
    needed = min(k, view.size)
    known: NDArray[np.int64] = np.zeros(0, np.int64)
    for attempt in range(_TRIES):
        known = _allowed(segments.base, query, k * 4**attempt, view.bits)
        if len(known) >= needed:
            break
    else:
        return None
    slots = np.concatenate([known, segments.fresh])
    scores, best = scan.best_of(query, k, view.embeddings, slots)
    return SearchResult(hits_of(scores, best, view, k), segments.size, exact=False)


def _allowed(
    base: Base, query: NDArray[np.float32], k: int, bits: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """What the base finds and the bits allow."""
    slots = base.nearest(query, k)
    return slots[(bits[slots >> 3] >> (slots & 7).astype(np.uint8)) & 1 == 1]
