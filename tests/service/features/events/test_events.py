"""The feed of events over HTTP: pages, lines, long polls, server-sent events, scopes."""

import asyncio
import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.errors import RateLimited
from service.features.events import endpoints, service
from service.features.events.kinds import SCOPES, everything
from service.http.auth.callers import KEYLESS
from service.http.auth.rate_limits import Charges, RateLimits
from service.http.ndjson import NDJSON
from service.http.streams import server_sent
from service.http.streams.server_sent import MOST_OF_A_KEY
from service.settings import Settings
from tests.service.conftest import Serve, put
from tests.service.features.keys.conftest import FIRST_KEY, bearer, create
from tests.service.process import wait_until


def end(client: TestClient | httpx.Client, **params: str) -> str:
    """The cursor behind all events."""
    cursor: dict[str, str] = {}
    while True:
        page = client.get("/v1/events", params={"limit": 1000, **params, **cursor}).json()
        cursor = {"cursor": page["next_cursor"]}
        if not page["events"]:
            return page["next_cursor"]


def read(client: TestClient | httpx.Client, cursor: str, **params: Any) -> dict[str, Any]:
    answer = client.get("/v1/events", params={"cursor": cursor, **params})
    return answer.raise_for_status().json()


def test_writes_are_told_and_kinds_are_chosen(client: TestClient) -> None:
    cursor = end(client)
    version = put(client, "s-1", name="Ada", bio="guitar")
    client.delete("/v1/streamers/s-1").raise_for_status()
    page = read(client, cursor, kinds="streamer.*")
    assert [(e["kind"], e["data"]) for e in page["events"]] == [
        ("streamer.upserted", {"streamer_id": "s-1", "version": version, "created": True}),
        ("streamer.deleted", {"streamer_id": "s-1", "version": version + 1}),
    ]
    assert page["retention"]["writes"]["most_events"] == 100_000
    assert page["retention"]["writes"]["oldest_at"] <= page["events"][0]["at"]
    gone = read(client, cursor, kinds="streamer.deleted")
    assert [e["kind"] for e in gone["events"]] == ["streamer.deleted"]
    assert read(client, gone["next_cursor"], kinds="streamer.*")["events"] == []
    one_by_one = read(client, cursor, kinds="streamer.*", limit=1)
    rest = read(client, one_by_one["next_cursor"], kinds="streamer.*", limit=9)
    assert one_by_one["events"] + rest["events"] == page["events"]


def test_a_kind_is_found_behind_many_others(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LOOKED_AT_ONCE", 10)
    cursor = end(client)
    lines = "".join(json.dumps({"streamer_id": f"m{i}", "bio": "x"}) + "\n" for i in range(25))
    headers = {"Content-Type": NDJSON}
    client.post("/v1/streamers:bulk", content=lines, headers=headers).raise_for_status()
    client.delete("/v1/streamers/m7").raise_for_status()
    page = read(client, cursor, kinds="streamer.deleted", limit=1)
    assert [e["data"]["streamer_id"] for e in page["events"]] == ["m7"]


def test_lines(client: TestClient) -> None:
    cursor = end(client)
    put(client, "s-1", bio="guitar")
    params = {"cursor": cursor, "kinds": "streamer.*"}
    answer = client.get("/v1/events", params=params, headers={"Accept": NDJSON})
    assert answer.headers["content-type"].startswith(NDJSON)
    *events, last = map(json.loads, answer.text.splitlines())
    page = read(client, cursor, kinds="streamer.*")
    assert events == page["events"]
    assert last == {"next_cursor": page["next_cursor"], "retention": page["retention"]}


@pytest.mark.parametrize(
    ("params", "parameter", "remedy"),
    [
        ({"kinds": "streamers.*"}, "kinds", "NAME is one of"),
        ({"kinds": "streamer"}, "kinds", "write kinds such as"),
        ({"kinds": "streamer.*,"}, "kinds", "write kinds such as"),
        ({"cursor": "x"}, "cursor", "is not a cursor"),
        ({"cursor": "5f0c9a1b-2a"}, "cursor", "is not a cursor"),
        ({"wait_s": "31"}, "wait_s", "30"),
        ({"limit": "0"}, "limit", "1"),
    ],
)
def test_wrong_parameters_are_refused(
    client: TestClient, params: dict[str, str], parameter: str, remedy: str
) -> None:
    answer = client.get("/v1/events", params=params)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["parameter"] == parameter
    assert remedy in error["detail"]


def test_a_cursor_of_another_feed_has_expired(client: TestClient) -> None:
    for accept in ("application/json", NDJSON, "text/event-stream"):
        params = {"cursor": "00000000-writes.1"}
        answer = client.get("/v1/events", params=params, headers={"Accept": accept})
        assert (answer.status_code, answer.json()["code"]) == (410, "cursor_expired")


def test_scopes_decide_which_kinds_are_read(guarded: TestClient) -> None:
    """Who asks for all gets those that the key may read; who names another is refused."""
    put(guarded, "s-1", bio="guitar")
    for group, scope in SCOPES.items():
        scopes = ["streamers:read", *({scope} - {"streamers:read"})]
        able = bearer(create(guarded, scopes=scopes)["key"])
        params = {"kinds": f"{group}.*"}
        assert guarded.get("/v1/events", params=params, headers=able).status_code == 200
        for other, needed in SCOPES.items():
            if needed in scopes:
                continue
            answer = guarded.get("/v1/events", params={"kinds": f"{other}.x"}, headers=able)
            assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
            assert repr(needed) in answer.json()["detail"]
    reader = bearer(create(guarded, scopes=["streamers:read"])["key"])
    page = guarded.get("/v1/events", headers=reader).json()
    assert set(page["retention"]) <= {"streamer", "writes"}
    assert {e["kind"].split(".")[0] for e in page["events"]} == {"streamer"}


@pytest.fixture
def guarded(bundle: Path, tmp_path: Path) -> Iterator[TestClient]:
    """Asked with the first admin key unless a test gives another."""
    settings = Settings.model_validate(
        {"bundle": bundle, "data_dir": tmp_path / "data", "api_key": FIRST_KEY}
    )
    headers = bearer(FIRST_KEY)
    with TestClient(create_app(settings), base_url="http://localhost", headers=headers) as client:
        yield client


@pytest.mark.parametrize("accept", ["application/json", NDJSON])
def test_events_that_are_passed_over_are_charged(
    guarded: TestClient, accept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LOOKED_AT_ONCE", 10)
    lines = "".join(json.dumps({"streamer_id": f"m{i}", "bio": "x"}) + "\n" for i in range(30))
    headers = {"Content-Type": NDJSON}
    guarded.post("/v1/streamers:bulk", content=lines, headers=headers).raise_for_status()
    guarded.delete("/v1/streamers/m7").raise_for_status()

    def left(kind: str) -> int:
        """Units of a new key, which gets one more in 12 s, behind a page of a kind."""
        key = create(guarded, scopes=["streamers:read"], limits={"streamers:read": 5})["key"]
        able = {**bearer(key), "Accept": accept}
        params: dict[str, Any] = {"kinds": kind, "limit": 1}
        answer = guarded.get("/v1/events", params=params, headers=able).raise_for_status()
        return int(answer.headers["RateLimit"].partition(";r=")[2].partition(";")[0])

    assert left("streamer.deleted") <= 2  # behind three times ten others
    assert left("streamer.upserted") >= 4
    assert left("streamer.graduated") >= 4  # no write is one, so that none is looked at


def test_who_is_refused_gives_the_place_back(guarded: TestClient) -> None:
    params, headers = {"cursor": "x"}, {"Accept": "text/event-stream"}
    for _ in range(MOST_OF_A_KEY + 1):
        answer = guarded.get("/v1/events", params=params, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.slow
def test_a_long_poll_tells_nothing_once_its_key_is_revoked(
    guarded: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = create(guarded, scopes=["streamers:read"])
    waits, wait = threading.Event(), service.Events.wait

    async def noted(self: service.Events, *how: Any) -> bool:
        waits.set()
        return await wait(self, *how)

    monkeypatch.setattr(service.Events, "wait", noted)
    answers: list[Any] = []
    params: dict[str, Any] = {"kinds": "streamer.*", "wait_s": 30}
    params["cursor"] = end(guarded, kinds="streamer.*")
    asked: dict[str, Any] = {"params": params, "headers": bearer(key["key"])}
    waiting = threading.Thread(target=lambda: answers.append(guarded.get("/v1/events", **asked)))
    waiting.start()
    assert waits.wait(25)
    guarded.delete(f"/v1/keys/{key['key_id']}").raise_for_status()
    guarded.put("/v1/streamers/s-late", json={"bio": "guitar"}).raise_for_status()
    waiting.join(60)
    assert [answer.status_code for answer in answers] == [401]
    assert "s-late" not in answers[0].text


@pytest.fixture
def told(serve: Serve) -> httpx.Client:
    return serve().client


@pytest.mark.slow
def test_a_long_poll_ends_with_the_first_event(told: httpx.Client) -> None:
    cursor = end(told)
    found: list[dict[str, Any]] = []
    params: dict[str, Any] = {"kinds": "streamer.*", "wait_s": 30}
    waiting = threading.Thread(target=lambda: found.append(read(told, cursor, **params)))
    waiting.start()
    told.put("/v1/streamers/s-1", json={"bio": "guitar"}).raise_for_status()
    waiting.join(25)
    assert not waiting.is_alive()
    assert [e["kind"] for e in found[0]["events"]] == ["streamer.upserted"]
    empty = read(told, found[0]["next_cursor"], kinds="streamer.*", wait_s=0.3)
    assert empty["events"] == []


def streamed(client: httpx.Client, count: int, **headers: str) -> list[tuple[str, dict[str, Any]]]:
    """(id, event) of the next events of a stream."""
    found: list[tuple[str, dict[str, Any]]] = []
    fields: dict[str, str] = {}
    params = {"kinds": "streamer.*"}
    headers = {"Accept": "text/event-stream", **headers}
    with client.stream("GET", "/v1/events", params=params, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
                continue
            if "data" in fields:
                found.append((fields["id"], json.loads(fields["data"])))
                assert fields["event"] == found[-1][1]["kind"]
            fields = {}
            if len(found) == count:
                break
    return found


@pytest.mark.slow
def test_server_sent_events_go_on_behind_the_last_id(told: httpx.Client) -> None:
    for i in range(3):
        told.put(f"/v1/streamers/s-{i}", json={"bio": "guitar"}).raise_for_status()
    events = streamed(told, 3)
    page = told.get("/v1/events", params={"kinds": "streamer.*"}).json()
    assert [event for _, event in events] == page["events"]
    assert events[-1][0] == page["next_cursor"]
    again = streamed(told, 2, **{"Last-Event-ID": events[0][0]})
    assert again == events[1:]
    writing = threading.Timer(0, lambda: told.put("/v1/streamers/late", json={"bio": "guitar"}))
    writing.start()
    ((_, late),) = streamed(told, 1, **{"Last-Event-ID": events[-1][0]})
    writing.join()
    assert late["data"]["streamer_id"] == "late"


def first_part(client: TestClient, query: str) -> bytes:
    """The first bytes of a stream, after which its client leaves."""
    sent: list[bytes] = []

    async def ask() -> None:
        enough = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await enough.wait()
            return {"type": "http.disconnect"}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message.get("body", b""))
            if sent[-1]:
                enough.set()

        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/v1/events",
            "raw_path": b"/v1/events",
            "query_string": query.encode(),
            "headers": [(b"host", b"localhost"), (b"accept", b"text/event-stream")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "state": dict(client.app_state),
        }
        await client.app(scope, receive, send)

    assert client.portal is not None
    client.portal.call(ask)
    return b"".join(sent)


def test_a_heartbeat_tells_how_far_was_looked(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client of one rare kind, cut off, goes on where it was; what it passed over may go."""
    monkeypatch.setattr(server_sent, "HEARTBEAT_S", 0.0)
    begins = end(client)
    put(client, "s-1", bio="guitar")
    passed = read(client, begins, kinds="streamer.deleted")
    assert passed["events"] == []
    assert passed["next_cursor"] != begins
    heartbeat = first_part(client, f"cursor={begins}&kinds=streamer.deleted")
    assert heartbeat.decode() == f": still here\nid: {passed['next_cursor']}\n\n"


class Granted:
    """`RateLimits` and an account with so many units."""

    def __init__(self, left: int) -> None:
        self.left = left

    def account(self, *_: object) -> Any:
        return self

    def take(self, units: int, paid: int) -> None:
        if self.left + paid < 1:
            raise RateLimited(RateLimited.example, 60)
        self.left -= units


def test_a_stream_of_events_pays_for_each_page_and_waits_where_it_can_not(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "_PAUSE_S", 0.0)
    begins = end(client)
    for name in ("e-1", "e-2", "e-3"):
        put(client, name, tags=["music"])
    services, granted = client.app_state["services"], Granted(2)
    charges = Charges(cast(RateLimits, granted), KEYLESS)

    async def scenario() -> None:
        known = services.events, services.lanes
        wanted = everything(lambda _: True)
        taking = endpoints._Taking(*known, begins, 1, wanted, lambda: None, charges)
        charges.reach("streamers:read", 1)
        assert [(await taking.take())[0].count(b"data:") for _ in range(2)] == [1, 1]
        assert granted.left == 0
        before = taking.seen()
        assert await taking.take() == (b"", False)
        await taking.pause()
        assert taking.seen() == before
        granted.left = 1
        text, _ = await taking.take()
        assert text.count(b"data:") == 1

    assert client.portal is not None
    client.portal.call(scenario)


@pytest.mark.slow
def test_those_who_come_at_once_take_no_more_places_than_there_are(serve: Serve) -> None:
    process = serve(STREAMER_API_KEY=FIRST_KEY)
    address = urlsplit(process.url)
    head = (
        "GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
        f"Authorization: Bearer {FIRST_KEY}\r\n\r\n"
    )
    with ExitStack() as opened:
        watching = [
            opened.enter_context(socket.create_connection((address.hostname, address.port)))
            for _ in range(2 * MOST_OF_A_KEY)
        ]
        for one in watching:
            one.sendall(head.encode())
        statuses = Counter(one.recv(12)[-3:] for one in watching)
        assert set(statuses) == {b"200", b"503"}
        assert 0 < statuses[b"200"] <= MOST_OF_A_KEY
    process.client.headers.update(bearer(FIRST_KEY))

    def is_let() -> bool:
        headers = {"Accept": "text/event-stream"}
        with process.client.stream("GET", "/v1/events", headers=headers) as answer:
            return answer.status_code == 200

    wait_until(is_let, "there are places again")
