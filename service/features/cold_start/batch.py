"""Many questions in one request: NDJSON in, NDJSON out, in order."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from pydantic import ValidationError

from service.engine.work.lanes import Lane, Lanes
from service.engine.work.large_json import LARGE_BYTES
from service.errors import BodyTooLarge, InvalidRequest, ServiceError
from service.features.cold_start.schemas import BatchProblemOut, ColdStartIn, ColdStartOut
from service.http.documents import problem_of
from service.http.json_bodies import loads_bounded
from service.http.ndjson import line_of, lines_of
from service.http.problems import invalid
from service.settings import Limits

_AT_ONCE = 4
"""Questions that are answered at the same time: others wait for the event loop no longer."""


class Line(NamedTuple):
    """A line of the request: its number, and its question or what is wrong with it."""

    number: int
    question: ColdStartIn | None
    wrong: ServiceError | None


async def questions_of(
    body: AsyncIterator[bytes],
    limits: Limits,
    lanes: Lanes,
    check: Callable[[ColdStartIn], None],
    charge: Callable[[int], None],
) -> list[Line]:
    """The questions of a body; blank lines are left out.

    Args:
        body: NDJSON.
        limits: of it.
        lanes: where long lines are read.
        check: raises InvalidRequest for a question that is not to be answered.
        charge: is told, before each line is read, how many there are.

    Raises:
        InvalidRequest: there are none, or more than `limits.bulk_lines`.
        BodyTooLarge: the body is.
    """
    lines: list[Line] = []
    number, begin = 0, time.perf_counter()
    async for line in lines_of(body, limits.body_limit_bytes):
        number += 1
        if number > limits.bulk_lines:
            raise InvalidRequest(
                f"the body may have {limits.bulk_lines} lines (STREAMER_LIMITS__BULK_LINES): send "
                "the rest in another request"
            )
        begin = await lanes.give_way.after(begin)
        if line.strip():
            charge(len(lines) + 1)
            read = partial(_read, number, line, limits, check)
            lines.append(read() if len(line) < LARGE_BYTES else await lanes.run(read, Lane.HEAVY))
    if not lines:
        raise InvalidRequest("the body has no lines: send a question in each, as JSON")
    return lines


def _read(number: int, line: bytes, limits: Limits, check: Callable[[ColdStartIn], None]) -> Line:
    try:
        if len(line) > limits.body_limit_bytes:
            raise BodyTooLarge(f"a line may have {limits.body_limit_bytes} bytes")
        question = ColdStartIn.model_validate(loads_bounded(line, limits.body_values))
        check(question)
    except ValidationError as error:
        return Line(number, None, invalid(error))
    except ServiceError as error:
        return Line(number, None, error)
    return Line(number, question, None)


async def answer_lines(
    lines: Sequence[Line], answer: Callable[[ColdStartIn], Awaitable[ColdStartOut]]
) -> AsyncGenerator[bytes, None]:
    """One result line for each line, in order; a few are answered at the same time."""

    async def result(line: Line) -> bytes:
        if line.question is None:
            return _line(line.number, wrong=line.wrong)
        try:
            found = await answer(line.question)
        except ServiceError as error:
            return _line(line.number, wrong=error)
        return _line(line.number, answer=found)

    running: deque[asyncio.Task[bytes]] = deque()
    try:
        for line in lines:
            running.append(asyncio.create_task(result(line)))
            if len(running) == _AT_ONCE:
                yield await running.popleft()
        while running:
            yield await running.popleft()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _line(
    number: int, *, answer: ColdStartOut | None = None, wrong: ServiceError | None = None
) -> bytes:
    made: dict[str, Any] = {"line": number}
    if answer is not None:
        made["answer"] = answer.model_dump(mode="json")
    if wrong is not None:
        problem = problem_of(wrong)
        names = BatchProblemOut.model_fields
        made["problem"] = {name: problem[name] for name in names if name in problem}
    return line_of(made)
