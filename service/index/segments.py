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

from service.index import approximate, scan
from service.index.approximate import AUTOMATIC, NEIGHBOURS, Base, Refused, Stopped
from service.index.base import EVERYONE, EXACT, IndexState, Question, Scorer, SearchResult
from service.index.canary import Canary
from service.index.device import Cpu, Device
from service.index.filters import Filter
from service.index.flat import QUICK_ROWS, FlatIndex, hits_of

_log = logging.getLogger(__name__)
_QUICK_BASE = 300_000
"""A larger one takes longer than handing questions to threads, several at once."""
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
            found = self._nearest(seeds[0], k, exclude)
            if found is not None:
                if self._canary.is_curious:
                    self._canary.offer(seeds[0], k, exclude)
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
        served = self._nearest(query, k, exclude)
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
        """By one search of the base where there is one; see `VectorIndex.search_many`."""
        k = max(question.k for question in questions)
        base = self._rows.base
        if base is None or k > NEIGHBOURS:
            return super().search_many(questions)
        queries = np.stack([question.query for question in questions])  # (Q, D)
        try:
            slots = base.nearest_of_many(queries, k)
        except RuntimeError as error:
            self._give_up(base, f"failed on the {self._device.name}: {error}")
            return super().search_many(questions)
        if self._canary.is_curious:
            self._canary.offer(*questions[0])
        return [
            self._scored(base, found, *question)
            or self.search(question.query[None, :], None, question.k, exclude=question.exclude)
            for question, found in zip(questions, slots, strict=True)
        ]

    def is_fast(self, k: int) -> bool:
        """By a base, or while there are few; see `VectorIndex.is_fast`.

        Not on a GPU: those who wait for it at once, in threads, become one search.
        """
        if self._rows.base is None:
            return super().is_quick(k, plain=True)
        return self._device.name == "cpu" and k <= NEIGHBOURS and self._rows.fresh <= QUICK_ROWS

    def is_quick(self, k: int, *, plain: bool) -> bool:
        """Whether nobody minds waiting for it; see `VectorIndex.is_quick`."""
        base = self._rows.base
        if plain and base is not None:
            return self.is_fast(k) and len(base.slots) <= _QUICK_BASE
        return super().is_quick(k, plain=plain)

    def _nearest(
        self, query: NDArray[np.float32], k: int, exclude: Collection[str]
    ) -> SearchResult | None:
        """The k best of both parts; None when the base does not come up with enough live rows."""
        for attempt in range(_TRIES):
            base = self._rows.base
            if base is None:
                return None
            try:
                slots = base.nearest(query, k * 4**attempt)
            except RuntimeError as error:
                self._give_up(base, f"failed on the {self._device.name}: {error}")
                return None
            if (found := self._scored(base, slots, query, k, exclude)) is not None:
                return found
        return None

    def _scored(
        self,
        base: Base,
        slots: NDArray[np.int64],
        query: NDArray[np.float32],
        k: int,
        exclude: Collection[str],
    ) -> SearchResult | None:
        """The k best of the slots that a base found and of fresh ones; None if it found too few."""
        with self._rows.near(base, slots, exclude) as near:
            if near is None or near.found < min(k, near.covered):
                return None
            scores, best = scan.best_of(query, k, near.embeddings, near.slots)
            return SearchResult(hits_of(scores, best, near.ids, k), near.size, exact=False)

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
            _log.info(
                "%d rows are in %s %s, recall %.4f", view.size, factory, base.effort, base.recall
            )


def _scores(found: SearchResult) -> NDArray[np.float32]:
    """Of all hits, best first (K,)."""
    return np.array([hit.score for hit in found.hits], np.float32)
