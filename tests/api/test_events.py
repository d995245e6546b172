"""The feed of events: pages by a cursor, kinds and scopes, long polls and server-sent events."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.support.api import Api, wrong_fields
from tests.support.service import wait_until
from tests.support.words import words

NDJSON, STREAM = "application/x-ndjson", "text/event-stream"
GROUPS = {
    "streamer": "streamers:read",
    "duplicates": "duplicates",
    "watchlist": "cases",
    "webhook": "admin",
}


def read(api: Api, cursor: str | None = None, **params: Any) -> dict[str, Any]:
    asked = params if cursor is None else {"cursor": cursor, **params}
    return api.ok("GET", "/v1/events", params=asked)


def end(api: Api) -> str:
    """The cursor behind all events."""
    page = read(api, limit=1000)
    while page["events"]:
        page = read(api, page["next_cursor"], limit=1000)
    return page["next_cursor"]


def ids(page: dict[str, Any]) -> list[str]:
    return [event["data"]["streamer_id"] for event in page["events"]]


def test_each_write_is_told_once_and_in_order(api: Api) -> None:
    cursor = end(api)
    first = api.ok("PUT", "/v1/streamers/a-1", {"bio": "guitar"}, status=201)
    second = api.ok("PATCH", "/v1/streamers/a-1", {"bio": "guitar solo"})
    api.put_streamer("a-2", bio="vocal")
    gone = api.ok("DELETE", "/v1/streamers/a-1")

    page = read(api, cursor, kinds="streamer.*")

    told = [(event["kind"], event["data"]["streamer_id"]) for event in page["events"]]
    assert told == [
        ("streamer.upserted", "a-1"),
        ("streamer.upserted", "a-1"),
        ("streamer.upserted", "a-2"),
        ("streamer.deleted", "a-1"),
    ]
    data = [event["data"] for event in page["events"] if event["data"]["streamer_id"] == "a-1"]
    assert [each["version"] for each in data] == [
        first["version"],
        second["version"],
        gone["sequence"],
    ]
    assert [each.get("created") for each in data] == [True, False, None]
    assert len({event["event_id"] for event in page["events"]}) == 4
    times = [event["at"] for event in page["events"]]
    assert times == sorted(times)
    kept = page["retention"]["writes"]
    assert (kept["most_events"], kept["oldest_at"] <= times[0]) == (100_000, True)
    for kinds in ("streamer.*", "streamer.upserted, streamer.deleted"):
        paged, place = list[dict[str, Any]](), cursor
        for _ in range(4):
            part = read(api, place, kinds=kinds, limit=1)
            assert len(part["events"]) == 1
            paged, place = paged + part["events"], part["next_cursor"]
        assert paged == page["events"]
        assert read(api, place, kinds=kinds)["events"] == []
    assert read(api, cursor, kinds="streamer.*", limit=1000)["events"] == page["events"]
    only = read(api, cursor, kinds="streamer.deleted, duplicates.grew")
    assert ids(only) == ["a-1"]
    lines = api.get(
        "/v1/events", params={"cursor": cursor, "kinds": "streamer.*"}, headers={"Accept": NDJSON}
    )
    assert lines.headers["content-type"].startswith(NDJSON)
    *events, last = map(json.loads, lines.text.splitlines())
    assert events == page["events"]
    assert last == {"next_cursor": page["next_cursor"], "retention": page["retention"]}


def test_groups_of_duplicates_are_told_beside_the_writes(api: Api) -> None:
    cursor = end(api)
    copies = [{"streamer_id": f"b-{i}", "bio": words("events b", 12)} for i in range(3)]
    api.wait_until_grouped(api.write(copies[:2]))
    api.wait_until_grouped(api.write(copies[2:]))
    made, grew = read(api, cursor, kinds="duplicates.*")["events"]
    assert made["data"]["streamer_ids"] == ["b-0", "b-1"]
    assert (made["data"]["size_before"], made["data"]["size"]) == (0, 2)
    assert grew["data"]["streamer_ids"] == ["b-2"]
    assert grew["data"]["group_id"] == made["data"]["group_id"]
    assert (grew["kind"], grew["data"]["size"]) == ("duplicates.grew", 3)
    every = read(api, cursor)["events"]
    assert [e for e in every if e["kind"] == "duplicates.grew"] == [made, grew]
    assert [e["kind"] for e in every].count("streamer.upserted") == 3


def test_a_kind_is_found_behind_many_others_and_that_is_charged(api: Api) -> None:
    cursor = end(api)
    api.write([{"streamer_id": f"c-{i}", "tags": ["music"]} for i in range(1200)])
    api.ok("DELETE", "/v1/streamers/c-7")

    def left(kind: str) -> tuple[list[str], int]:
        """Whom a page tells of, and what is left of five units, of which one comes in 12 s."""
        limited = api.with_key("streamers:read", limits={"streamers:read": 5})
        params = {"kinds": kind, "limit": 1, "cursor": cursor}
        answer = limited.get("/v1/events", params=params)
        remaining = answer.headers["RateLimit"].partition(";r=")[2].partition(";")[0]
        return ids(answer.json()), int(remaining)

    assert left("streamer.deleted") == (["c-7"], 3)
    assert left("streamer.upserted") == (["c-0"], 4)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"kinds": "streamers.*"}, "kinds"),
        ({"kinds": "streamer"}, "kinds"),
        ({"kinds": "streamer.*,"}, "kinds"),
        ({"kinds": ""}, "kinds"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "5f0c9a1b-2a"}, "cursor"),
        ({"wait_s": "31"}, "wait_s"),
        ({"wait_s": "-1"}, "wait_s"),
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"kind": "streamer.*"}, "kind"),
    ],
)
@pytest.mark.parametrize("accept", ["application/json", STREAM])
def test_wrong_parameters_are_named(
    api: Api, params: dict[str, str], field: str, accept: str
) -> None:
    problem = api.refused(
        "GET",
        "/v1/events",
        params=params,
        headers={"Accept": accept},
        status=422,
        code="invalid_request",
    )
    assert wrong_fields(problem) == [field]


@pytest.mark.parametrize("accept", ["application/json", NDJSON, STREAM])
def test_a_cursor_of_what_is_not_kept_has_expired(api: Api, accept: str) -> None:
    options: dict[str, Any] = {"params": {"cursor": "00000000-writes.1"}}
    options["headers"] = {"Accept": accept}
    api.refused("GET", "/v1/events", status=410, code="cursor_expired", **options)


@pytest.mark.parametrize(("group", "scope"), GROUPS.items())
def test_kinds_need_their_scopes(api: Api, group: str, scope: str) -> None:
    api.put_streamer("d", bio="guitar")
    scopes = {"streamers:read", scope}
    able = api.with_key(*scopes)
    read(able, kinds=f"{group}.*")
    for other, needed in GROUPS.items():
        if needed not in scopes:
            params = {"kinds": f"streamer.*,{other}.x"}
            problem = able.refused(
                "GET", "/v1/events", params=params, status=403, code="missing_scope"
            )
            assert needed in problem["detail"]
    api.with_key("search").refused("GET", "/v1/events", status=403, code="missing_scope")


def test_who_names_no_kinds_reads_those_that_the_key_may_read(api: Api) -> None:
    cursor = end(api)
    copies = [{"streamer_id": f"e-{i}", "bio": words("events e", 12)} for i in range(2)]
    api.wait_until_grouped(api.write(copies))
    page = read(api.with_key("streamers:read"), cursor)
    assert ids(page) == ["e-0", "e-1"]
    assert {*page["retention"]} <= {"streamer", "writes"}
    more = read(api.with_key("streamers:read", "duplicates"), cursor)
    assert [e["kind"] for e in more["events"]].count("duplicates.grew") == 1
    assert {*more["retention"]} <= {"streamer", "writes", "duplicates"}


def test_a_long_poll_ends_with_the_first_event_of_its_kinds(api: Api) -> None:
    cursor = end(api)
    with ThreadPoolExecutor(1) as pool:
        polled = pool.submit(read, api, cursor, kinds="streamer.deleted", wait_s=30)
        api.put_streamer("f", bio="guitar")
        api.ok("DELETE", "/v1/streamers/f")
        page = polled.result()
    assert [(e["kind"], e["data"]["streamer_id"]) for e in page["events"]] == [
        ("streamer.deleted", "f")
    ]
    empty = read(api, page["next_cursor"], kinds="streamer.*", wait_s=0.1)
    assert empty["events"] == []
    assert read(api, cursor, kinds="streamer.*", wait_s=30)["events"][0]["data"]["created"] is True


@contextmanager
def stream(api: Api, **options: Any) -> Iterator[Iterator[tuple[str, dict[str, Any]]]]:
    """The server-sent events of an answer, each with its id."""

    def events(answer: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
        fields: dict[str, str] = {}
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
            elif "data" in fields:
                event = json.loads(fields["data"])
                assert fields["event"] == event["kind"]
                yield fields["id"], event
                fields = {}

    headers = {"Accept": STREAM, **options.pop("headers", {})}
    with api.stream("GET", "/v1/events", headers=headers, **options) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(STREAM)
        yield events(answer)


def test_server_sent_events_go_on_behind_the_last_id(api: Api) -> None:
    cursor = end(api)
    for i in range(3):
        api.put_streamer(f"g-{i}", bio="guitar")
    params = {"kinds": "streamer.*", "cursor": cursor}
    with stream(api, params=params) as events:
        found = [next(events) for _ in range(3)]
        page = read(api, cursor, kinds="streamer.*")
        assert [event for _, event in found] == page["events"]
        assert found[-1][0] == page["next_cursor"]
        api.put_streamer("g-late", bio="guitar")
        found.append(next(events))
    assert found[-1][1]["data"]["streamer_id"] == "g-late"
    with stream(api, params=params, headers={"Last-Event-ID": found[1][0]}) as events:
        assert [next(events) for _ in range(2)] == found[2:]


def test_a_stream_tells_nothing_once_its_key_is_revoked(api: Api) -> None:
    body = {"name": "revoked", "scopes": ["streamers:read"]}
    key = api.ok("POST", "/v1/keys", body, status=201)
    as_key = {"Authorization": f"Bearer {key['key']}"}
    cursor = end(api)
    api.put_streamer("h", bio="guitar")
    params = {"cursor": cursor, "kinds": "streamer.*"}
    with stream(api, params=params, headers=as_key) as events:
        assert next(events)[1]["data"]["streamer_id"] == "h"
        api.ok("DELETE", f"/v1/keys/{key['key_id']}")
        api.put_streamer("h-late", bio="guitar")
        assert next(events, None) is None


def test_a_key_waits_in_25_places_and_gets_them_back(api: Api) -> None:
    reader, opened = api.with_key("streamers:read"), list[httpx.Response]()
    params = {"cursor": end(api), "kinds": "streamer.*"}

    def opens(by: Api = reader) -> bool:
        """Whether another stream begins; a busy service refuses some that come at once."""
        headers = {"Accept": STREAM}
        request = by.build_request("GET", "/v1/events", params=params, headers=headers)
        answer = by.send(request, stream=True)
        if answer.status_code == 200:
            opened.append(answer)
            return True
        assert (answer.status_code, json.loads(answer.read())["code"]) == (503, "overloaded")
        return False

    for _ in range(25):
        wait_until(opens, "a stream begins")
    assert not opens()
    wait_until(lambda: opens(api), "another key has places of its own")
    for answer in opened:
        answer.close()
    wait_until(opens, "there are places again")
    opened[-1].close()
