"""Approximate search in two parts: an ANN segment, and an exact scan of rows written since.

The segment is of the rows as they were when it was built, and is never changed. Rows that were
changed or removed since are skipped in it, at once; new versions are scanned. When too many are, a
new segment is built beside the old one and takes its place. Writes meanwhile need no replay: the
rows themselves are always up to date, and the segment only says where to look.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.index.base import IndexState, SearchResult
from service.index.faiss import scan
from service.index.faiss.ann import segment as ann
from service.index.faiss.ann.device import Cpu, Device
from service.index.faiss.ann.recall_monitor import RecallMonitor
from service.index.faiss.ann.segment import AUTOMATIC, NEIGHBOURS, AnnSegment, Refused, Stopped
from service.index.faiss.flat import FlatSearch, hits_of, view_cost_ms
from service.index.faiss.rows.table import Rows
from service.index.faiss.rows.view import Near
from service.index.query import Query

_log = logging.getLogger(__name__)
_MS_PER_SEARCH, _MS_PER_MILLION = 0.03, 0.1
"""Of a segment on the CPU (measured: 0.05 ms at 100,000 rows, 0.1 ms at a million)."""
_MS_PER_FRESH_NUMBER = 2e-7
"""Of rows that are scanned beside it, which are gathered by their slots."""
_GPU_MS = 1.0
"""Searches that wait for a GPU together cost little; waiting on the event loop costs everyone."""
_MOST_EXCLUDED = 1024
"""They are looked up while the rows are locked, 1 ms at most; the exact search does it by parts."""
_WIDEST = 16
"""The segment is asked for up to so many times k, until enough live rows come."""


@dataclass(frozen=True)
class Plan:
    """When there is an ANN segment, and of which kind.

    Attributes:
        factory: a FAISS factory string, or `auto`.
        from_rows: with fewer rows, everything is scanned.
        recall: share of the 50 nearest that a segment must find to be used.
        fresh_share: rebuild when fresh rows are more than this share of the segment ...
        fresh_rows: ... and more than this number.
        dead_share: rebuild when more than this share of the segment is deleted or replaced.
        floor: a segment that finds a smaller share on live traffic is not used any more.
    """

    factory: str = AUTOMATIC
    from_rows: int = 50_000
    recall: float = 0.99
    fresh_share: float = 0.05
    fresh_rows: int = 2000
    dead_share: float = 0.2
    floor: float = 0.95


class SegmentedSearch:
    """Search by an ANN segment, if there is one. Safe to use from several threads.

    Somebody has to call `rebuild` in a thread when it `is_due`, and `check_recall` now and then.
    """

    def __init__(
        self, rows: Rows, flat: FlatSearch, plan: Plan, device: Device | None = None
    ) -> None:
        """No segment yet.

        Args:
            rows: what is searched.
            flat: answers where the segment can't.
            plan: of segments.
            device: where they are searched, by default the CPU.
        """
        self._rows = rows
        self._flat = flat
        self._plan = plan
        self._device = device or Cpu()
        self._refused_at = 0  # rows, when the last segment was refused
        self._refused: str | None = None
        self._monitor = RecallMonitor(plan.floor)
        self._one_at_a_time = threading.Lock()

    def answers(self, query: Query) -> bool:
        """Whether there is a segment, and it is good for this query."""
        is_good = query.k <= NEIGHBOURS and len(query.exclude) <= _MOST_EXCLUDED
        return self.segment is not None and is_good and query.is_plain

    def search_many(self, queries: Sequence[Query]) -> list[SearchResult]:
        """Answers to queries that it `answers`; none depends on which others there are."""
        found: dict[int, SearchResult] = {}
        for k in {query.k for query in queries}:  # one search of the segment for each k
            places = [i for i, query in enumerate(queries) if query.k == k]
            some = [queries[i] for i in places]
            by_segment = self._by_segment(some)
            if by_segment[0] is not None and self._monitor.wants_sample:
                self._monitor.offer(some[0])
            for i, known, query in zip(places, by_segment, some, strict=True):
                found[i] = known or self._flat.search(query)
        return [found[i] for i in range(len(queries))]

    def cost_ms(self, query: Query) -> float:
        """Expected milliseconds of one more query in `search_many`, on one core."""
        segment, fresh = self.segment, len(self._rows.coverage.fresh)
        if segment is None or self._device.name != "cpu":
            return _GPU_MS
        return (
            _MS_PER_SEARCH
            + len(segment.slots) * _MS_PER_MILLION / 1e6
            + fresh * self._rows.dim * _MS_PER_FRESH_NUMBER
            + view_cost_ms(0, query.filter, query.exclude)
        )

    def _by_segment(self, queries: Sequence[Query], width: int = 1) -> list[SearchResult | None]:
        """The best of both parts; None where the segment finds too few live rows.

        All want the same number of hits; the segment is asked for `width` times as many.
        """
        segment, k = self.segment, queries[0].k
        nothing: list[SearchResult | None] = [None] * len(queries)
        if segment is None:
            return nothing
        probes = [query.scoring.probes() for query in queries]
        vectors = probes[0] if len(probes) == 1 else np.concatenate(probes)  # (Q, D)
        try:
            slots = segment.nearest_of_many(vectors, width * k)
        except RuntimeError as error:
            self._give_up(segment, f"failed on the {self._device.name}: {error}")
            return nothing
        with self._rows.near(segment, slots, [query.exclude for query in queries]) as near:
            found = nothing if near is None else _best(near, vectors, k)
        lacking = [i for i, known in enumerate(found) if known is None]
        if lacking and width < _WIDEST:
            again = self._by_segment([queries[i] for i in lacking], 4 * width)
            for i, known in zip(lacking, again, strict=True):
                found[i] = known
        return found

    @property
    def segment(self) -> AnnSegment | None:
        """What is searched at the moment, if anything."""
        return self._rows.coverage.segment

    def state(self) -> IndexState:
        """How queries are answered at the moment."""
        segment, _, fresh = self._rows.sizes()
        if segment is None:
            return self._flat.state(self._refused)
        return IndexState(
            segment.factory,
            fresh,
            segment.recall,
            self._refused,
            self._device.name,
            self._monitor.recall,
        )

    def accepts(self, segment: AnnSegment, covered: int) -> bool:
        """Whether a saved segment, with so many rows left, is what the plan wants."""
        plan, wanted = self._plan, self._plan.factory
        if wanted == AUTOMATIC:
            wanted = self._device.factory_for(len(segment.slots))
        is_wanted = segment.factory == wanted and segment.recall >= plan.recall
        # A GPU gets a new one: snapshots are for the CPU.
        return is_wanted and self._device.name == "cpu" and covered >= plan.from_rows

    def is_due(self) -> bool:
        """Whether there should be a new segment, or none any more."""
        plan = self._plan
        segment, covered, fresh = self._rows.sizes()
        rows = covered + fresh
        if self._refused and self._refused_at / 2 < rows < self._refused_at * 2:
            return False
        if segment is None:
            return rows >= plan.from_rows
        size = len(segment.slots)
        return (
            fresh > max(plan.fresh_share * size, plan.fresh_rows)
            or size - covered > plan.dead_share * size
        )

    def rebuild(self, is_stopped: Callable[[], bool]) -> None:
        """Build a segment of all rows and put it in the old one's place; seconds to minutes.

        If none can be had that is good enough, all stays as it is, and `state` says why: rows that
        are not in the old one, if there is one, are scanned.
        """
        with self._one_at_a_time, self._rows.building() as view:
            if view.size < self._plan.from_rows:
                self._rows.adopt(None)
                return
            factory = self._plan.factory
            if factory == AUTOMATIC:
                factory = self._device.factory_for(view.size)
            _log.info("building ANN segment %s of %d rows", factory, view.size)
            try:
                segment = ann.build(
                    factory,
                    view,
                    self._plan.recall,
                    is_stopped,
                    self._device,
                    self._monitor.vectors(),
                )
            except Stopped:
                return
            except Refused as refused:
                _log.warning("no new ANN segment, so more rows are scanned: %s", refused)
                self._refuse(str(refused), view.size)
                return
            self._refused = None
            self._monitor.forget()
            self._rows.adopt(segment)
            effort = segment.reach or segment.effort
            _log.info(
                "%d rows are in ANN segment %s, %s, recall %.4f",
                view.size,
                factory,
                effort,
                segment.recall,
            )

    def check_recall(self) -> None:
        """Answer a query of a moment ago again, exactly; give up a segment that misses too many."""
        query, segment = self._monitor.take(), self.segment
        if query is None or segment is None:
            return
        (served,) = self._by_segment([query])
        best = self._flat.search(query)
        if served is None or self.segment is not segment:
            return
        self._monitor.note(query.scoring.probes()[0], _scores(served), _scores(best))
        alarm = self._monitor.alarm
        if alarm is not None:
            self._give_up(segment, f"is not used: {alarm}")
            self._refused_at = 0  # another one may do better, on these queries too

    def _give_up(self, segment: AnnSegment, why: str) -> None:
        reason = f"{segment.factory} {why}"
        _log.error("ANN segment disabled, falling back to exact scan: %s", reason)
        self._refuse(reason, len(self._rows))
        self._rows.give_up(segment)

    def _refuse(self, reason: str, rows: int) -> None:
        self._refused, self._refused_at = reason, rows


def _best(near: Near, vectors: NDArray[np.float32], k: int) -> list[SearchResult | None]:
    """The k best candidates for each vector (Q, D); None where the segment found fewer."""
    slots = [candidates.slots for candidates in near.each]
    scored = scan.best_of_each(vectors, k, near.embeddings, slots)
    return [
        None
        if candidates.found < min(k, candidates.covered)
        else SearchResult(hits_of(scores, best, near.ids, k), candidates.size, exact=False)
        for candidates, (scores, best) in zip(near.each, scored, strict=True)
    ]


def _scores(found: SearchResult) -> NDArray[np.float32]:
    """Scores of all hits, best first (K,)."""
    return np.array([hit.score for hit in found.hits], np.float32)
