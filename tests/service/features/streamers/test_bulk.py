"""A client may send all lines before it reads a result; and it may not keep everything waiting."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient

from model_export.contract.streamer import StreamerProfile
from service.engine.work.lanes import Lanes
from service.errors import Unauthorized
from service.features.streamers import bulk
from service.features.streamers.outcomes import Unchanged
from service.features.streamers.write_pipeline import WritePipeline
from service.http.ndjson import NDJSON
from service.settings import Limits, Work
from tests.service.conftest import Serve
from tests.service.process import START_S


class Writes:
    """Knows every streamer already."""

    def __init__(self) -> None:
        self.chunks: list[int] = []

    async def write_many(
        self, profiles: Sequence[StreamerProfile], *, skip_unchanged: bool, near_follow: bool
    ) -> list[Unchanged]:
        self.chunks.append(len(profiles))
        await asyncio.sleep(0)
        return [Unchanged(profile.streamer_id, 1) for profile in profiles]


class Body:
    """Lines, and whether all of them were received."""

    def __init__(self, lines: int) -> None:
        self.lines = lines
        self.is_received = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for i in range(self.lines):
            yield json.dumps({"streamer_id": f"s{i}"}).encode() + b"\n"
        self.is_received.set()


def results_of(
    writes: Writes, body: Body, allowed: Callable[[], None] = lambda: None, **limits: int
) -> AsyncIterator[bytes]:
    parts = aiter(body)  # type: ignore[arg-type]
    wanted = Limits(**limits)  # type: ignore[arg-type]
    lanes = Lanes(Work())  # for long lines, which these are not
    pipeline = cast(WritePipeline, writes)
    return bulk.write_lines(pipeline, wanted, lanes, parts, allowed=allowed, skip_unchanged=True)


async def first_and_rest(results: AsyncIterator[bytes], body: Body) -> list[dict[str, Any]]:
    """All results, read after the whole body was received."""
    first = await anext(results)
    await body.is_received.wait()
    whole = first + b"".join([part async for part in results])
    return [json.loads(line) for line in whole.splitlines()]


def test_all_lines_may_be_sent_before_a_result_is_read() -> None:
    async def scenario() -> None:
        writes, body = Writes(), Body(5000)
        found = await first_and_rest(results_of(writes, body), body)
        assert [one["line"] for one in found] == list(range(1, 5001))
        assert {one["outcome"] for one in found} == {"unchanged"}
        assert max(writes.chunks) == bulk.CHUNK_LINES

    asyncio.run(scenario())


def test_results_that_nobody_reads_end_the_writing_and_the_last_line_says_where(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bulk, "RESULT_BYTES", 4096)
    monkeypatch.setattr(bulk, "STALL_S", 0.01)

    async def scenario() -> None:
        writes, body = Writes(), Body(2000)
        *found, last = await first_and_rest(results_of(writes, body), body)
        assert [one["line"] for one in found] == list(range(1, len(found) + 1))
        assert len(found) == sum(writes.chunks) < 2000
        assert (last["line"], last["error"]["code"]) == (len(found) + 1, "results_not_read")
        assert last["error"]["status"] == 408

    asyncio.run(scenario())


def test_too_many_lines_are_received_to_their_end() -> None:
    async def scenario() -> None:
        body = Body(300)
        *found, last = await first_and_rest(results_of(Writes(), body, bulk_lines=100), body)
        assert len(found) == 100
        assert (last["line"], last["error"]["code"]) == (101, "body_too_large")

    asyncio.run(scenario())


def test_a_key_that_is_revoked_meanwhile_writes_nothing_more() -> None:
    async def scenario() -> None:
        writes, body, asked = Writes(), Body(1000), 0

        def allowed() -> None:
            nonlocal asked
            asked += 1
            if asked > 2:
                raise Unauthorized(Unauthorized.example)

        results = results_of(writes, body, allowed=allowed)
        *found, last = await first_and_rest(results, body)
        assert sum(writes.chunks) == 2 * bulk.CHUNK_LINES
        assert [one["line"] for one in found] == list(range(1, 2 * bulk.CHUNK_LINES + 1))
        assert (last["line"], last["error"]["code"]) == (len(found) + 1, "unauthorized")

    asyncio.run(scenario())


def test_errors_of_a_line_are_short() -> None:
    wrong = {"streamer_id": "s", "tags": [1] * 50, "x" * 5000: 1, "bio": ["y" * 5000]}

    async def body() -> AsyncIterator[bytes]:
        yield json.dumps(wrong).encode()

    async def scenario() -> bytes:
        writes = cast(WritePipeline, Writes())
        results = bulk.write_lines(writes, Limits(), Lanes(Work()), body(), skip_unchanged=False)
        return b"".join([part async for part in results])

    line = asyncio.run(scenario())
    error = json.loads(line)["error"]
    assert len(line) < 3000
    assert len(error["errors"]) == 3
    assert error["detail"].startswith("/bio: ")


def test_a_client_that_sends_everything_first_reads_everything(serve: Serve) -> None:
    address = urlsplit(serve().url)
    lines = b"".join(
        b'{"streamer_id": "s%d"}\n' % i if i % 100 == 0 else b'{"tags": 1, "bio": 2}\n'
        for i in range(10_000)
    )
    with socket.create_connection((address.hostname, address.port), START_S) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(
            b"POST /v1/streamers:bulk HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n" % len(lines)
        )
        connection.sendall(lines)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        answer = b""
        while part := connection.recv(1 << 16):
            answer += part
    content = answer.split(b"\r\n\r\n", 1)[1].split(b"\r\n")[1::2]  # between the sizes of chunks
    results = [json.loads(line) for line in b"".join(content).splitlines()]
    assert [one["line"] for one in results] == list(range(1, 10_001))
    assert sum(one["outcome"] == "created" for one in results) == 100


@pytest.mark.slow
def test_who_reads_to_the_end_finds_all_lines(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index is given the last write before the answer ends."""
    writes: WritePipeline = client.app_state["services"].writes  # type: ignore[attr-defined]
    show, shown = writes.show, list[int]()

    async def noted(sequence: int) -> None:
        await show(sequence)
        shown.append(sequence)

    monkeypatch.setattr(writes, "show", noted)
    lines = "".join(f'{{"streamer_id": "s{i}", "tags": ["music"]}}\n' for i in range(200))
    answer = client.post("/v1/streamers:bulk", content=lines, headers={"content-type": NDJSON})
    found = [json.loads(line) for line in answer.text.splitlines()]
    assert shown == [found[-1]["version"]]
    near = client.get("/v1/streamers/s199/similar?k=1000").json()
    assert (near["complete"], len(near["hits"])) == (True, 199)
