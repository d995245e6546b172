"""An index in two parts: a base that FAISS searches fast, and what was written since, exactly.

The base is of the rows as they were when it was built, and is never changed. Rows that were changed
or removed since are passed over in it, at once; new versions are scanned. When too many are, a new
base is built beside the old one and takes its place. What happened meanwhile needs no replay: the
rows themselves are always up to date, and the base only says where to look.
"""

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.index.base import EVERYONE, EXACT, IndexState, Question, Scorer, SearchResult
from service.index.faiss import scan
from service.index.faiss.ann import segment as approximate
from service.index.faiss.ann.device import Cpu, Device
from service.index.faiss.ann.recall_monitor import Canary
from service.index.faiss.ann.segment import AUTOMATIC, NEIGHBOURS, Base, Refused, Stopped
from service.index.faiss.flat import QUICK_ROWS, FlatIndex, hits_of
from service.index.faiss.rows.view import Near
from service.index.filters import Filter

_log = logging.getLogger(__name__)
_QUICK_BASE = 2_000_000
"""Handing a question to a thread and back takes as long as a search of so many (measured: with two
cores busy, a million are answered faster by the event loop than by threads beside it)."""
_QUICK_FRESH = 4000
"""Rows that are scanned for each of the questions of one turn (measured: .1 ms)."""
_WIDEST = 16
"""The base is asked for up to so many times as many as are wanted, until enough live ones come."""


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
        floor: a base that finds a smaller share on questions that are really asked is given up.
    """

    factory: str = AUTOMATIC
    from_rows: int = 50_000
    recall: float = 0.99
    fresh_share: float = 0.05
    fresh_rows: int = 2000
    dead_share: float = 0.2
    floor: float = 0.95


class SegmentedIndex(FlatIndex):
    """See the module. Someone has to call `rebuild` when it `is_due`, in a thread of their own."""

    def __init__(
        self,
        dim: int,
        content_dim: int,
        established: Collection[str] = (),
        plan: Plan | None = None,
        *,
        folder: Path | None = None,
        device: Device | None = None,
    ) -> None:
        """An empty index, as `FlatIndex`; its base is searched on a device, by default the CPU."""
        super().__init__(dim, content_dim, established, folder)
        self._plan = plan or Plan()
        self._device = device or Cpu()
        self._refused_at = 0  # rows, when the last base was refused
        self._refused: str | None = None
        self._canary = Canary(self._plan.floor)
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
            question = Question(seeds[0], k, exclude)
            (found,) = self._by_base([question])
            if found is not None:
                self._tell_canary(question)
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

    def _give_up(self, base: Base, why: str) -> None:
        reason = f"{base.factory} {why}"
        _log.error("everyone is scanned from now on: %s", reason)
        self._refuse(reason, len(self))
        self._rows.give_up(base)

    def audit(self) -> None:
        """Ask a question that was asked lately again, exactly; see `VectorIndex.audit`."""
        question, base = self._canary.take(), self._rows.base
        if question is None or base is None:
            return
        query, k, exclude = question
        (served,) = self._by_base([question])
        best = super().search(query[None, :], None, k, exclude=exclude)
        if served is None or self._rows.base is not base:
            return
        self._canary.note(question, _scores(served), _scores(best))
        alarm = self._canary.alarm
        if alarm is not None:
            self._give_up(base, f"is not used: {alarm}")
            self._refused_at = 0  # another one may do better, on these questions too

    def _refuse(self, reason: str, rows: int) -> None:
        self._refused, self._refused_at = reason, rows

    def search_many(self, questions: Sequence[Question]) -> list[SearchResult]:
        """By one search of the base for each k: no answer depends on who else asks."""
        found: dict[int, SearchResult] = {}
        for k in {question.k for question in questions}:
            places = [i for i, question in enumerate(questions) if question.k == k]
            some = [questions[i] for i in places]
            by_base = self._by_base(some)
            if by_base[0] is not None:
                self._tell_canary(some[0])
            for i, known, (q, _, exclude) in zip(places, by_base, some, strict=True):
                found[i] = known or super().search(q[None, :], None, k, exclude=exclude)
        return [found[i] for i in range(len(questions))]

    def _tell_canary(self, question: Question) -> None:
        if self._canary.is_curious:
            self._canary.offer(*question)

    def is_fast(self, k: int) -> bool:
        """By a base, or while there are few; see `VectorIndex.is_fast`.

        Not on a GPU: those who wait for it at once, in threads, become one search.
        """
        if self._rows.base is None:
            return super().is_quick(k, plain=True)
        return self._device.name == "cpu" and k <= NEIGHBOURS and self._rows.fresh <= QUICK_ROWS

    def is_quick(self, k: int, *, plain: bool) -> bool:
        """By a base that is not large, or while there are few; see `VectorIndex.is_quick`."""
        base = self._rows.base
        if plain and base is not None:
            is_small = len(base.slots) <= _QUICK_BASE and self._rows.fresh <= _QUICK_FRESH
            return is_small and self.is_fast(k)
        return super().is_quick(k, plain=plain)

    def _by_base(self, questions: Sequence[Question], width: int = 1) -> list[SearchResult | None]:
        """The best of both parts; None where the base does not come up with enough live rows.

        All want the same number of hits; the base is asked for `width` times as many.
        """
        base, k = self._rows.base, questions[0].k
        nothing: list[SearchResult | None] = [None] * len(questions)
        if base is None or k > NEIGHBOURS:
            return nothing
        queries = np.stack([question.query for question in questions])  # (Q, D)
        try:
            slots = base.nearest_of_many(queries, width * k)
        except RuntimeError as error:
            self._give_up(base, f"failed on the {self._device.name}: {error}")
            return nothing
        with self._rows.near(base, slots, [question.exclude for question in questions]) as near:
            found = nothing if near is None else _best(near, queries, k)
        lacking = [i for i, known in enumerate(found) if known is None]
        if lacking and width < _WIDEST:
            again = self._by_base([questions[i] for i in lacking], 4 * width)
            for i, known in zip(lacking, again, strict=True):
                found[i] = known
        return found

    @property
    def base(self) -> Base | None:
        """What it searches at the moment, if anything."""
        return self._rows.base

    def state(self) -> IndexState:
        """How it answers at the moment."""
        base, covered, fresh = self._rows.sizes()
        if base is None:
            return IndexState(EXACT, covered + fresh, None, self._refused)
        return IndexState(
            base.factory,
            fresh,
            base.recall,
            self._refused,
            self._device.name,
            self._canary.recall,
        )

    def _serves(self, base: Base, covered: int) -> bool:
        """Whether it is of the kind, and as good, as the plan wants; a GPU gets its own."""
        plan, wanted = self._plan, self._plan.factory
        if wanted == AUTOMATIC:
            wanted = self._device.factory_for(len(base.slots))
        is_wanted = base.factory == wanted and base.recall >= plan.recall
        return is_wanted and self._device.name == "cpu" and covered >= plan.from_rows

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
                factory = self._device.factory_for(view.size)
            _log.info("building %s of %d rows", factory, view.size)
            try:
                base = approximate.build(
                    factory,
                    view,
                    self._plan.recall,
                    is_stopped,
                    self._device,
                    self._canary.questions(),
                )
            except Stopped:
                return
            except Refused as refused:
                _log.warning("no new base, so more is scanned: %s", refused)
                self._refuse(str(refused), view.size)
                return
            self._refused = None
            self._canary.forget()
            self._rows.adopt(base)
            effort = base.reach or base.effort
            _log.info("%d rows are in %s, %s, recall %.4f", view.size, factory, effort, base.recall)


def _best(near: Near, queries: NDArray[np.float32], k: int) -> list[SearchResult | None]:
    """The k best candidates of each query (Q, D); None where the base found fewer than that."""
    slots = [candidates.slots for candidates in near.each]
    scored = scan.best_of_each(queries, k, near.embeddings, slots)
    return [
        None
        if candidates.found < min(k, candidates.covered)
        else SearchResult(hits_of(scores, best, near.ids, k), candidates.size, exact=False)
        for candidates, (scores, best) in zip(near.each, scored, strict=True)
    ]


def _scores(found: SearchResult) -> NDArray[np.float32]:
    """Of all hits, best first (K,)."""
    return np.array([hit.score for hit in found.hits], np.float32)
