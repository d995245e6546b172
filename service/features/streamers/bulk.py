"""`:bulk`: NDJSON in, NDJSON out; lines are checked and written in chunks, and answered by number.

Results that the client has not read yet are kept, up to `RESULT_BYTES`, so that it may send all of
its lines before it reads. Beyond that a chunk waits until some are read; if none is read for
`STALL_S`, the rest of the body is received and dropped, and the last line of the answer names the
first line that was not processed. Every line before that one has its result. It ends likewise once
the caller may not write any more, as when the key was revoked: a body may take hours to come.

Chunks are small and yield by time: others wait a few milliseconds for the event loop, and encoding
is done in the bulk lane.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Any

from starlette.exceptions import HTTPException

from service.engine.work.lanes import Lanes
from service.errors import BodyTooLarge, ResultsNotRead, ServiceError
from service.features.streamers.lines import (
    CHUNK_BYTES,
    CHUNK_LINES,
    LineReader,
    short_problem,
)
from service.features.streamers.outcomes import Acknowledged, FollowUp, Unchanged
from service.features.streamers.schemas import NearDuplicateOut
from service.features.streamers.write_pipeline import WritePipeline
from service.http.ndjson import line_of, lines_of
from service.http.problems import error_of_http
from service.settings import Limits

RESULT_BYTES = 4 << 20
"""Results that wait for the client to read them: those of 10,000 lines that are not all wrong."""
STALL_S = 5.0
NEAR_S = 10.0
"""For the near-duplicates of a chunk's lines."""
_LATE = f"those of the lines sent together were not all found within {NEAR_S:g} s"
_PART_BYTES = 1 << 16


async def write_lines(
    writes: WritePipeline,
    limits: Limits,
    lanes: Lanes,
    body: AsyncIterator[bytes],
    *,
    allowed: Callable[[], object] = lambda: None,
    skip_unchanged: bool,
    near_duplicates: bool = False,
    note: Callable[[Sequence[str]], None] = lambda _: None,
) -> AsyncGenerator[bytes, None]:
    """One result line for each line of the body, several at a time; see the module.

    `allowed` is asked before each chunk, and raises a `ServiceError` once the caller may not write
    any more. `note` is told the ids that were written, before their results are sent. With
    `near_duplicates` each result of a written line has them.
    """
    results = _Results()
    bulk = _Bulk(writes, limits, lanes, results, skip_unchanged, near_duplicates, note, allowed)
    working = asyncio.create_task(bulk.process(body))
    working.add_done_callback(results.end)
    try:
        async for part in results:
            yield part
        await working
    finally:
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working


class _Results:
    """Result lines on their way to the client, in order."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._is_complete = False
        self._changed = asyncio.Event()
        self._taken = asyncio.Event()

    def put(self, line: bytes) -> None:
        """Add a line; see `has_room`."""
        self._lines.append(line)
        self._size += len(line)
        self._changed.set()

    def end(self, _: object) -> None:
        """No more will come."""
        self._is_complete = True
        self._changed.set()

    async def has_room(self) -> bool:
        """Wait until less than `RESULT_BYTES` are kept; False if the client reads none of them."""
        while self._size >= RESULT_BYTES:
            self._taken.clear()
            try:
                async with asyncio.timeout(STALL_S):
                    await self._taken.wait()
            except TimeoutError:
                return False
        return True

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        """All lines, joined to parts; each part that is asked for was room for another."""
        while True:
            part = bytearray()
            while self._lines and len(part) < _PART_BYTES:
                part += self._lines.popleft()
            if part:
                self._size -= len(part)
                self._taken.set()
                yield bytes(part)
            elif self._is_complete:
                return
            else:
                self._changed.clear()
                await self._changed.wait()


class _Bulk:
    """One request: reads its lines, writes them, and puts their results."""

    def __init__(
        self,
        writes: WritePipeline,
        limits: Limits,
        lanes: Lanes,
        results: _Results,
        skip_unchanged: bool,
        near_duplicates: bool,
        note: Callable[[Sequence[str]], None],
        allowed: Callable[[], object],
    ) -> None:
        self._writes = writes
        self._limits = limits
        self._lanes = lanes
        self._reader = LineReader(limits, lanes)
        self._results = results
        self._skip_unchanged = skip_unchanged
        self._near_duplicates = near_duplicates
        self._note = note
        self._allowed = allowed
        self._last: int | None = None

    async def process(self, body: AsyncIterator[bytes]) -> None:
        """Process all lines, or up to the one that is named by the last result."""
        lines = lines_of(body, self._limits.body_limit_bytes)
        chunk: list[tuple[int, bytes]] = []
        number = size = 0
        refused: ServiceError | None = None  # why the rest is not processed
        try:
            async for line in lines:
                number += 1
                if number > self._limits.bulk_lines:
                    refused = BodyTooLarge(
                        f"a request may have {self._limits.bulk_lines} lines; send this line "
                        "and the rest in another one"
                    )
                    break
                chunk.append((number, line))
                size += len(line)
                if len(chunk) == CHUNK_LINES or size >= CHUNK_BYTES:
                    if not await self._results.has_room():
                        number, chunk = chunk[0][0], []
                        refused = ResultsNotRead(
                            f"the results of the lines before this one wait, and none was read "
                            f"for {STALL_S:g} s; send this line and the rest in another "
                            "request, and read while you send"
                        )
                        break
                    if (refused := self._lost()) is not None:
                        number, chunk = chunk[0][0], []
                        break
                    await self._write(chunk)
                    chunk, size = [], 0
        except HTTPException as error:  # the body is too large, or does not come
            number += 1
            refused = error_of_http(error)
        if chunk and (lost := self._lost()) is not None:
            number, chunk, refused = chunk[0][0], [], lost
        await self._write(chunk)
        if self._last is not None:  # whoever reads to the end finds all of it
            await self._writes.show(self._last)
        if refused is not None:
            self._results.put(_failed(number, refused))
            with contextlib.suppress(HTTPException):
                async for _ in lines:  # a client may send all of them before it reads
                    pass

    def _lost(self) -> ServiceError | None:
        """Why the caller may not write any more; None if it may."""
        try:
            self._allowed()
        except ServiceError as error:
            return error
        return None

    async def _write(self, chunk: list[tuple[int, bytes]]) -> None:
        """Put the results of a chunk, by number; blank lines have none."""
        profiles, refused = await self._reader.read(chunk)
        answers = {number: _failed(number, error) for number, error in refused.items()}
        await self._lanes.give_way()
        try:
            results = await self._writes.write_many(
                list(profiles.values()),
                skip_unchanged=self._skip_unchanged,
                near_follow=self._near_duplicates,
            )
            written = [r for r in results if isinstance(r, Acknowledged)]
            if written:
                # Lines that were refused at first were written after the others.
                self._last = max(each.sequence for each in written)
                self._note([r.record.streamer_id for r in written])
            found = await self._near(written)
            for (number, profile), result in zip(profiles.items(), results, strict=True):
                if isinstance(result, ServiceError):  # this one was not acknowledged
                    answers[number] = _failed(number, result, profile.streamer_id)
                else:
                    near = found.get(id(result))
                    answers[number] = line_of(_result(number, result, near))
        except ServiceError as error:  # none of them was acknowledged
            for number, profile in profiles.items():
                answers[number] = _failed(number, error, profile.streamer_id)
        for number in sorted(answers):
            self._results.put(answers[number])

    async def _near(self, written: Sequence[Acknowledged]) -> dict[int, FollowUp]:
        """Near-duplicates of the writes of a chunk, which may be those of each other, by `id`."""
        if not self._near_duplicates or not written:
            return {}
        await self._writes.show(max(each.sequence for each in written))
        loop, found = asyncio.get_running_loop(), dict[int, FollowUp]()
        until = loop.time() + NEAR_S
        for each in written:
            late = loop.time() >= until
            found[id(each)] = FollowUp(None, _LATE) if late else await self._writes.near(each)
            await self._lanes.give_way()
        return found


def _result(number: int, result: Acknowledged | Unchanged, near: FollowUp | None) -> dict[str, Any]:
    if isinstance(result, Unchanged):
        return {
            "line": number,
            "streamer_id": result.streamer_id,
            "outcome": "unchanged",
            "version": result.version,
        }
    found: dict[str, Any] = {}
    if near is not None:
        known = near.near_duplicates
        found["near_duplicates"] = None
        if known is not None:
            shown = [NearDuplicateOut.model_validate(each).model_dump() for each in known]
            found["near_duplicates"] = shown
        found["near_duplicates_unavailable_because"] = near.unavailable_because
    return {
        "line": number,
        "streamer_id": result.record.streamer_id,
        "outcome": "created" if result.created else "updated",
        "version": result.sequence,
        "sequence": result.sequence,
        "status": result.record.status,
        "coverage": result.coverage,
        **found,
    }


def _failed(number: int, error: ServiceError, streamer_id: str | None = None) -> bytes:
    known = {} if streamer_id is None else {"streamer_id": streamer_id}
    return line_of({"line": number, **known, "outcome": "error", "error": short_problem(error)})
