"""Runs searches on the event loop while they are short, and in the lanes otherwise."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar, cast

from service.engine.work.lanes import Lane, Lanes, Queue
from service.engine.work.leisure import is_at_leisure
from service.telemetry.spans import Span, current_span, spanned

Item = TypeVar("Item")
Result = TypeVar("Result")
_INLINE_MS = 0.5
"""A longer call goes to a thread; handing it over and back costs about half as much."""
_HEAVY_MS = 100.0
"""A longer call is heavy work, such as everybody's score for an export."""
_AT_ONCE = 16
"""Items in one call: enough that each costs little, and few to wait for."""
_TURN_MS = 4.0
"""The longest that items may keep one turn of the event loop."""


class _Asked(NamedTuple):
    answer: Callable[[Sequence[Any]], Sequence[Any]]
    item: Any
    cost_ms: float
    result: "asyncio.Future[Any]"
    span: Span | None


class SearchPool:
    """Implements `Work` with the lanes."""

    def __init__(self, lanes: Lanes) -> None:
        """Use these threads."""
        self._calls: dict[Lane, Queue[Callable[[], Any], Any]] = {
            lane: lanes.queue(_make_all, lane, what="searches", stage="search") for lane in Lane
        }
        self._together: Queue[_Asked, Any] = lanes.queue(
            _answer_all,
            Lane.INTERACTIVE,
            what="searches",
            stage="search",
            max_batch=_AT_ONCE,
        )
        self._stages = lanes.stages
        self._asked: list[_Asked] = []

    async def run(self, call: Callable[[], Result], cost_ms: float) -> Result:
        """Make a call, at once if it is short; see `Work.run`."""
        if is_at_leisure():
            return cast(Result, await self._calls[Lane.BULK].submit(call))
        if cost_ms <= _INLINE_MS:
            begin = time.perf_counter()
            with spanned("search"):
                found = call()
            self._stages.note("search", time.perf_counter() - begin)
            return found
        lane = Lane.INTERACTIVE if cost_ms <= _HEAVY_MS else Lane.HEAVY
        return cast(Result, await self._calls[lane].submit(call))

    async def together(
        self,
        answer: Callable[[Sequence[Item]], Sequence[Result]],
        item: Item,
        cost_ms: float,
    ) -> Result:
        """One result of a call for all items of this turn of the event loop; see `Work.together`.

        Long calls go to threads, and take the items that come while the one before runs.
        """
        if is_at_leisure():
            (found,) = await self._calls[Lane.BULK].submit(lambda: answer([item]))
            return cast(Result, found)
        loop = asyncio.get_running_loop()
        asked = _Asked(answer, item, cost_ms, loop.create_future(), current_span())
        if cost_ms > _INLINE_MS:
            return await self._together.submit(asked)
        if not self._asked:
            loop.call_soon(self._answer_turn)
        self._asked.append(asked)
        return await asked.result

    def _answer_turn(self) -> None:
        """Answer those who asked in this turn of the event loop, or the first of many."""
        many = max(int(_TURN_MS / max(self._asked[0].cost_ms, _TURN_MS / _AT_ONCE)), 1)
        asked, self._asked = self._asked[:many], self._asked[many:]
        if self._asked:
            asyncio.get_running_loop().call_soon(self._answer_turn)
        asked = [a for a in asked if not a.result.done()]  # who has gone needs none
        for answer, places in _by_answer(asked).items():
            mine = [asked[i] for i in places]
            begin = time.perf_counter()
            try:
                found = answer([a.item for a in mine])
                for a, result in zip(mine, found, strict=True):
                    a.result.set_result(result)
            except Exception as error:  # noqa: BLE001 - belongs to those who asked
                for a in mine:
                    if not a.result.done():
                        a.result.set_exception(error)
            end = time.perf_counter()
            self._stages.note("search", end - begin)
            for a in mine:
                if a.span is not None:
                    of_batch = {"streamer.items": len(mine)}
                    span = a.span.child("search", of_batch, begin_s=begin)
                    if span is not None:
                        span.end(at_s=end)


def _make_all(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    return [call() for call in calls]


def _answer_all(asked: Sequence[_Asked]) -> list[Any]:
    """Results in order, by one call for each kind of answer."""
    found: dict[int, Any] = {}
    for answer, places in _by_answer(asked).items():
        found.update(zip(places, answer([asked[i].item for i in places]), strict=True))
    return [found[i] for i in range(len(asked))]


def _by_answer(
    asked: Sequence[_Asked],
) -> dict[Callable[[Sequence[Any]], Sequence[Any]], list[int]]:
    """Places of items by what answers them: there are two indexes while one replaces the other."""
    places: dict[Callable[[Sequence[Any]], Sequence[Any]], list[int]] = {}
    for place, each in enumerate(asked):
        places.setdefault(each.answer, []).append(place)
    return places
