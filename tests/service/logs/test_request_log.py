"""A line per request: what it has, what it never has, and what costs no line."""

import asyncio
import json
import re
import threading
from typing import Any

import pytest
from starlette.types import Message

from service.http.admission import Admission, Limiter
from service.http.auth.callers import Caller
from service.http.traffic import Known, Traffic
from service.logs import requests
from service.logs.requests import RequestLog
from tests.service.conftest import Serve

SIMILAR = "/v1/streamers/{streamer_id}/similar"


class Written:
    """Lines that a log has written."""

    def __init__(self) -> None:
        self.text = ""

    def add(self, lines: str) -> None:
        assert lines.endswith("\n")
        self.text += lines

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


def scope(request_id: str = "r1", **more: object) -> dict[str, Any]:
    return {"type": "http", "method": "GET", "request_id": request_id, **more}


def test_a_line_has_ids_the_route_and_figures() -> None:
    written = Written()
    with RequestLog(written.add, "json") as log:
        log.note(scope(), SIMILAR, 200, 0.0123456, 0, 812)
        log.note(
            scope("r2", caller=Caller("k7", "console", frozenset())), "other", 404, 0.001, 17, 90
        )
    first, second = written.lines
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
    assert first == {
        "level": "INFO",
        "logger": "service.requests",
        "message": "request",
        "request_id": "r1",
        "method": "GET",
        "route": SIMILAR,
        "status": 200,
        "ms": 12.346,
        "received": 0,
        "sent": 812,
    }
    assert second["key_id"] == "k7"


def test_as_text_the_fields_follow_the_usual_head() -> None:
    written = Written()
    with RequestLog(written.add, "text") as log:
        log.note(scope(), SIMILAR, 200, 0.0123456, 0, 812)
    head, line = written.text.split(" INFO ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}", head)
    assert line == (
        f"service.requests: request request_id=r1 method=GET route={SIMILAR} status=200 ms=12.346 "
        "received=0 sent=812\n"
    )


def test_probes_have_a_line_when_they_fail() -> None:
    written = Written()
    with RequestLog(written.add, "json") as log:
        for route in ("/livez", "/readyz", "/metrics"):
            log.note(scope(), route, 200, 0.001, 0, 15)
        log.note(scope(), "/readyz", 503, 0.001, 0, 15)
    assert [(line["route"], line["status"]) for line in written.lines] == [("/readyz", 503)]


def test_refusals_under_overload_are_counted_in_one_line() -> None:
    written, traffic, limiter = Written(), Traffic(), Limiter()
    answered = asyncio.Event()

    async def app(*_: object) -> None:
        await answered.wait()

    async def send(message: Message) -> None:
        pass

    async def ask_many(count: int) -> None:
        admission = Admission(app, limiter=limiter, traffic=traffic)
        asked = {"type": "http", "method": "GET", "path": "/v1/streamers/a/similar"}
        tasks = [asyncio.ensure_future(admission(dict(asked), send, send)) for _ in range(count)]  # pyright: ignore[reportArgumentType]
        await asyncio.sleep(0)
        answered.set()
        await asyncio.gather(*tasks)
        assert limiter._clock is not None
        limiter._clock.cancel()

    with RequestLog(written.add, "json") as log:
        traffic.log = log
        asyncio.run(ask_many(1000))
    lines = written.lines
    assert {line["message"] for line in lines} == {"requests without a line"}
    assert sum(line["refused"] for line in lines) == 1000 - 128  # the most that are in flight
    assert len(lines) < 200  # one for those of each writing


def test_answers_503_have_a_few_lines_and_the_rest_is_counted() -> None:
    written = Written()
    log = RequestLog(written.add, "json")
    for number in range(500):
        log.note(scope(f"r{number}"), SIMILAR, 503, 0.01, 0, 100)
    with log:
        pass
    *few, last = written.lines
    assert len(few) == requests._MOST_UNAVAILABLE
    assert (last["refused"], last["dropped"]) == (500 - len(few), 0)


def test_what_comes_faster_than_it_is_written_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_MOST_KEPT", 3)
    written = Written()
    log = RequestLog(written.add, "json")
    for number in range(5):
        log.note(scope(f"r{number}"), SIMILAR, 200, 0.01, 0, 100)
    with log:
        pass
    *kept, last = written.lines
    assert [line["request_id"] for line in kept] == ["r0", "r1", "r2"]
    assert (last["refused"], last["dropped"]) == (0, 2)


def test_a_reader_that_is_gone_stops_nothing() -> None:
    def broken(lines: str) -> None:
        raise BrokenPipeError(lines)

    with RequestLog(broken, "json") as log:
        log.note(scope(), SIMILAR, 200, 0.01, 0, 100)


def test_lines_are_written_by_a_thread_of_the_log() -> None:
    names: list[str] = []
    with RequestLog(lambda _: names.append(threading.current_thread().name), "json") as log:
        log.note(scope(), SIMILAR, 200, 0.01, 0, 100)
    assert names == ["request-log"]


def test_traffic_tells_the_log_the_route_that_answered() -> None:
    written, traffic = Written(), Traffic()
    with RequestLog(written.add, "json") as log:
        traffic.log = log
        traffic.note(scope("a", route=Known(SIMILAR)), 200, 0.001, 3, 4)
        traffic.note(scope("b"), 404, 0.001)
    assert [line["route"] for line in written.lines] == [SIMILAR, "other"]


@pytest.mark.slow
def test_a_service_logs_in_json_and_tells_nothing_of_what_was_asked(serve: Serve) -> None:
    service = serve(STREAMER_LOG__FORMAT="json", STREAMER_LOG__REQUESTS="true")
    sequence = service.put("somebody", bio="secret guitar", tags=["music"])
    service.similar(sequence, bio="secret guitar")
    client = service.client
    named = {"X-Request-Id": "asked-by-the-test"}
    answer = client.get("/v1/streamers/somebody/similar?k=3", headers=named)
    client.get("/v1/streamers", params={"name": "secret"})
    client.get("/made/up/secret")
    body = b'{"bio": "secret"'
    client.put("/v1/streamers/b", content=body, headers={"Content-Type": "application/json"})
    assert service.stop() == 0
    lines = [json.loads(line) for line in service.output.splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    found = [
        line
        for line in lines
        if line["logger"] == "service.requests" and line["route"] != "/readyz"  # until it was ready
    ]
    assert [(line["method"], line["route"], line["status"]) for line in found] == [
        ("PUT", "/v1/streamers/{streamer_id}", 201),
        ("POST", "/v1/similar", 200),
        ("GET", SIMILAR, 200),
        ("GET", "/v1/streamers", 422),
        ("GET", "other", 404),
        ("PUT", "/v1/streamers/{streamer_id}", 400),
    ]
    assert found[2]["request_id"] == "asked-by-the-test"
    assert found[2]["sent"] == len(answer.content)
    assert found[5]["received"] == len(body)
    assert not re.search("secret|somebody", "".join(map(json.dumps, found)))
    assert any(line["logger"].startswith("uvicorn") for line in lines)


def test_without_the_setting_there_is_no_log() -> None:
    assert Traffic().log is None
