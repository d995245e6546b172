"""Searches, on the event loop where they are quick, and in the lanes where they are not."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.engine.work.lanes import Lane, Lanes, Queue
from service.index.base import EVERYONE, Question, Scorer, SearchResult, VectorIndex
from service.index.filters import Filter

Result = TypeVar("Result")
_AT_ONCE = 16
"""Questions in one call of the index: enough that it costs each little, and few to wait for."""


class _Asked(NamedTuple):
    to: VectorIndex
    question: Question
    answer: "asyncio.Future[SearchResult]"


class Searches:
    """Runs what would keep the event loop from other requests in the lanes."""

    def __init__(self, lanes: Lanes) -> None:
        """Use these threads."""
        self._lanes = lanes
        self._together: Queue[tuple[VectorIndex, Question], SearchResult] = lanes.queue(
            _search_together, Lane.INTERACTIVE, what="searches", max_batch=_AT_ONCE
        )
        self._asked: list[_Asked] = []

    async def search(
        self,
        index: VectorIndex,
        seeds: NDArray[np.float32],
        scorer: Scorer | None,
        k: int,
        *,
        exclude: Collection[str] = (),
        min_score: float | None = None,
        wanted: Filter = EVERYONE,
        exact: bool = False,
    ) -> SearchResult:
        """As `VectorIndex.search`.

        Raises:
            Overloaded: too many wait already or the deadline passed.
        """

        def call() -> SearchResult:
            return index.search(
                seeds,
                scorer,
                k,
                exclude=exclude,
                min_score=min_score,
                wanted=wanted,
                exact=exact,
            )

        plain = scorer is None and min_score is None and not wanted and not exact
        if index.is_quick(k, plain=plain):
            return call()
        return await self.run(call)

    async def nearest(self, index: VectorIndex, question: Question) -> SearchResult:
        """As `VectorIndex.search_many`, together with others that are asked at the same time.

        Raises:
            Overloaded: as `search`.
        """
        if not index.is_quick(question.k, plain=True):
            return await self._together.submit((index, question))
        loop = asyncio.get_running_loop()
        asked = _Asked(index, question, loop.create_future())
        if not self._asked:
            loop.call_soon(self._answer_turn)
        self._asked.append(asked)
        return await asked.answer

    def _answer_turn(self) -> None:
        """Answer those who asked in this turn of the event loop, or the first of many."""
        asked, self._asked = self._asked[:_AT_ONCE], self._asked[_AT_ONCE:]
        if self._asked:
            asyncio.get_running_loop().call_soon(self._answer_turn)
        asked = [a for a in asked if not a.answer.done()]  # who has gone needs none
        for index, places in _by_index([a.to for a in asked]):
            mine = [asked[i] for i in places]
            try:
                found = index.search_many([a.question for a in mine])
            except Exception as error:  # noqa: BLE001 - belongs to those who asked
                for a in mine:
                    a.answer.set_exception(error)
                continue
            for a, result in zip(mine, found, strict=True):
                a.answer.set_result(result)

    async def run(self, call: Callable[[], Result], lane: Lane = Lane.INTERACTIVE) -> Result:
        """What a call comes to, in a thread.

        Raises:
            Overloaded: as `search`.
            Exception: whatever the call raises.
        """
        return await self._lanes.run(call, lane)


def _search_together(asked: Sequence[tuple[VectorIndex, Question]]) -> list[SearchResult]:
    """The answers, by one call for each index."""
    found: dict[int, SearchResult] = {}
    for index, places in _by_index([index for index, _ in asked]):
        found.update(zip(places, index.search_many([asked[i][1] for i in places]), strict=True))
    return [found[i] for i in range(len(asked))]


def _by_index(indexes: Sequence[VectorIndex]) -> Iterator[tuple[VectorIndex, list[int]]]:
    """Each index and where it stands: there are two while one takes the other's place."""
    for index in {id(index): index for index in indexes}.values():
        yield index, [i for i, other in enumerate(indexes) if other is index]
