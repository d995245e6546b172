"""Ids of a request: in the header of its answer, in problems, and in what is logged meanwhile."""

import asyncio
import json
import logging

import pytest
from fastapi.testclient import TestClient
from starlette.types import Message, Scope

from service.http.headers.request_ids import IdsInLog, RequestIds, answer_as, ids_of, trace_id_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{PARENT}-01"


@pytest.mark.parametrize(
    "traceparent", [GOOD, f" {GOOD}\t", f"00-{TRACE}-{PARENT}-00", f"cc-{TRACE}-{PARENT}-01-later"]
)
def test_a_trace_is_continued(client: TestClient, traceparent: str) -> None:
    assert trace_id_of(traceparent) == TRACE
    answer = client.get("/v1/streamers/nobody", headers={"traceparent": traceparent})
    assert answer.json()["trace_id"] == TRACE


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "rubbish",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-later",
        f"00-{TRACE}-{PARENT}",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"cc-{TRACE}-{PARENT}-01later",
        f"00-{TRACE}-{PARENT}-01\x00",
    ],
)
def test_a_malformed_trace_is_ignored(client: TestClient, traceparent: str) -> None:
    assert trace_id_of(traceparent) is None
    headers = [(b"traceparent", traceparent.encode())]
    answer = client.get("/v1/streamers/nobody", headers=headers)  # pyright: ignore[reportArgumentType]
    assert answer.status_code == 404
    assert "trace_id" not in answer.json()


def test_of_two_traces_none_is_continued(client: TestClient) -> None:
    headers = [("traceparent", GOOD), ("traceparent", GOOD)]
    assert "trace_id" not in client.get("/v1/streamers/nobody", headers=headers).json()
    scope: Scope = {"headers": [(name.encode(), value.encode()) for name, value in headers]}
    assert ids_of(scope).trace_id is None


@pytest.mark.parametrize("given", ["", "two words", "x" * 129, "<script>"])
def test_an_id_that_is_none_is_replaced(client: TestClient, given: str) -> None:
    answer = client.get("/v1/streamers/nobody", headers={"X-Request-Id": given})
    assert answer.headers["X-Request-Id"] == answer.json()["request_id"] != given
    assert len(answer.json()["request_id"]) == 32


@pytest.mark.parametrize("path", ["/livez", "/metrics", "/docs", "/errors", "/v1/streamers"])
def test_every_answer_has_an_id(client: TestClient, path: str) -> None:
    assert client.get(path).headers["X-Request-Id"]
    answer = client.get(path, headers={"X-Request-Id": "asked-for"})
    assert answer.headers.get_list("X-Request-Id") == ["asked-for"]


def test_problems_of_lines_have_the_ids_too(client: TestClient) -> None:
    headers = {"X-Request-Id": "asked-for", "traceparent": GOOD}
    headers["Content-Type"] = "application/x-ndjson"
    answer = client.post("/v1/streamers:bulk", content=b"rubbish\n", headers=headers)
    error = json.loads(answer.content)["error"]
    assert (error["request_id"], error["trace_id"]) == ("asked-for", TRACE)


def test_examples_do_not_take_the_trace_of_who_reads_them(client: TestClient) -> None:
    assert TRACE not in client.get("/errors", headers={"traceparent": GOOD}).text


def test_log_lines_have_the_ids_of_their_request() -> None:
    def logged() -> str:
        record = logging.LogRecord("name", logging.INFO, "path", 1, "message", None, None)
        assert IdsInLog().filter(record)
        return logging.Formatter("%(name)s:%(ids)s %(message)s").format(record)

    async def send(_: Message) -> None: ...

    async def request(ids: RequestIds) -> str:
        answer_as({}, ids, send)
        await asyncio.sleep(0)
        return logged()

    async def requests() -> tuple[str, str]:
        return await asyncio.gather(request(RequestIds("a")), request(RequestIds("b", TRACE)))

    first, second = asyncio.run(requests())
    assert first == "name: request_id=a message"
    assert second == f"name: request_id=b trace_id={TRACE} message"
    assert logged() == "name: message"
