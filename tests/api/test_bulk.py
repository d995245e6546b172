"""Many streamers by one request: NDJSON in, a result for each line out, or a job."""

import json
import socket
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.api import NDJSON, Api, wrong_fields
from tests.support.bundles import SPACE
from tests.support.service import Service

PATH = "/v1/streamers:bulk"
MOST_LINES, LONGEST_LINE = 2000, 200_000


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {
        "STREAMER_LIMITS__BULK_LINES": str(MOST_LINES),
        "STREAMER_LIMITS__BODY_LIMIT_BYTES": str(LONGEST_LINE),
        "STREAMER_LIMITS__BODY_VALUES": "2000",
    }


def lines_of(profiles: Sequence[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(profile).encode() + b"\n" for profile in profiles)


def bulk(api: Api, content: bytes, **params: Any) -> list[dict[str, Any]]:
    answer = api.post(PATH, content=content, headers=NDJSON, params=params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.content.splitlines()]


def outcomes(api: Api, profiles: Sequence[dict[str, Any]], **params: Any) -> list[str]:
    return [line["outcome"] for line in bulk(api, lines_of(profiles), **params)]


def test_each_line_is_answered_in_order_and_told_like_a_single_write(api: Api) -> None:
    profiles: list[dict[str, Any]] = [
        {"streamer_id": f"order-{i}", "tags": ["cooking", "zzzxq"]} for i in range(40)
    ]
    profiles += [{"streamer_id": "order-0", "tags": ["music"]}, {"streamer_id": "order-thin"}]
    found = bulk(api, lines_of(profiles).rstrip(b"\n"))
    assert [line["line"] for line in found] == list(range(1, 43))
    assert [line["streamer_id"] for line in found] == [p["streamer_id"] for p in profiles]
    assert [line["outcome"] for line in found] == ["created"] * 40 + ["updated", "created"]
    sequences = [line["sequence"] for line in found]
    assert sequences == list(range(sequences[0], sequences[0] + 42))
    assert [line["version"] for line in found] == sequences
    assert {line["status"] for line in found[:41]} == {"indexed"}
    assert (found[41]["status"], found[41]["coverage"]) == ("insufficient_content", 0)
    assert "near_duplicates" not in found[0]
    stored = api.get("/v1/streamers/order-7")
    assert stored.headers["etag"] == f'"{found[7]["version"]}"'
    single = api.ok("PUT", "/v1/streamers/order-7", {"tags": ["cooking", "zzzxq"]})
    assert found[7]["coverage"] == single["coverage"] < 1
    assert api.ok("GET", "/v1/streamers/order-0")["profile"]["tags"] == ["music"]
    # Whoever reads to the end finds all of it.
    near = api.ok("GET", "/v1/streamers/order-39/similar", params={"k": 1000})
    assert {f"order-{i}" for i in range(1, 39)} <= {hit["streamer_id"] for hit in near["hits"]}


def test_bad_lines_in_the_middle_stop_nothing(api: Api) -> None:
    many = {"streamer_id": "bad-9", "tags": ["a" * 40] * 2001}
    lines: list[tuple[bytes, str, list[str] | str]] = [
        (b'{"streamer_id":"bad-1","tags":["cooking"]}', "created", []),
        (b"rubbish", "error", "malformed_body"),
        (b"", "", []),
        (b'{"streamer_id":"bad-2","nmae":"x"}', "error", ["/nmae"]),
        (b'{"streamer_id":"bad-3","bio":"\xff"}', "error", "malformed_body"),
        (b'{"tags":["cooking"]}', "error", ["/streamer_id"]),
        (b'{"streamer_id":"a b"}', "error", ["/streamer_id"]),
        (
            b'{"streamer_id":"bad-4","avatar":{"vector":[1],"space":"%s"}}' % SPACE.encode(),
            "error",
            ["/avatar/vector"],
        ),
        (b'{"streamer_id":"bad-5","bio":"' + b"x" * 6000 + b'"}', "error", ["/bio"]),
        (b'{"streamer_id":"bad-1","tags":["music"]}', "updated", []),
        (b'[{"streamer_id":"bad-6"}]', "error", [""]),
        (b'{"streamer_id":"bad-7","x":"' + LONGEST_LINE * b"x" + b'"}', "error", "body_too_large"),
        (json.dumps(many).encode(), "error", "invalid_request"),
        ('{"streamer_id":"bad-8"}'.encode("utf-8-sig"), "created", []),
    ]
    found = {r["line"]: r for r in bulk(api, b"\n".join(line for line, _, _ in lines))}
    expected = {i: rest for i, (_, *rest) in enumerate(lines, start=1) if rest[0]}
    assert {i: result["outcome"] for i, result in found.items()} == {
        i: outcome for i, (outcome, _) in expected.items()
    }
    for i, (outcome, said) in expected.items():
        if outcome != "error":
            continue
        problem = found[i]["error"]
        if isinstance(said, str):
            assert problem["code"] == said
        else:
            assert (problem["code"], problem["status"]) == ("invalid_request", 422)
            assert wrong_fields(problem) == said, lines[i - 1]
        assert "sequence" not in found[i]
    assert api.ok("GET", "/v1/streamers/bad-1")["profile"]["tags"] == ["music"]
    for i in (2, 3, 4, 5, 6, 7, 9):
        path = f"/v1/streamers/bad-{i}"
        api.refused("GET", path, status=404, code="streamer_not_found")


def test_errors_of_a_line_are_few_and_short(api: Api) -> None:
    wrong = {"streamer_id": "s", "tags": [1] * 50, "x" * 5000: 1, "bio": ["y" * 5000]}
    answer = api.post(PATH, content=json.dumps(wrong), headers=NDJSON)
    assert len(answer.content) < 3000
    assert len(answer.json()["error"]["errors"]) == 3


def test_no_line_is_no_result(api: Api) -> None:
    for content in (b"", b"\n \n\r\n"):
        assert bulk(api, content) == []


@pytest.mark.parametrize(
    ("headers", "query", "status", "code"),
    [
        ({"Content-Type": "text/csv"}, "", 415, "unsupported_media_type"),
        (NDJSON, "skip_unchanged=perhaps", 422, "invalid_request"),
        (NDJSON, "near_duplicates=2", 422, "invalid_request"),
        (NDJSON, "skip=true", 422, "invalid_request"),
    ],
)
def test_a_request_that_is_none_is_refused_as_a_whole(
    api: Api, headers: dict[str, str], query: str, status: int, code: str
) -> None:
    content = b'{"streamer_id":"whole"}'
    path = f"{PATH}?{query}"
    api.refused("POST", path, status=status, code=code, content=content, headers=headers)
    api.refused("GET", "/v1/streamers/whole", status=404, code="streamer_not_found")


def test_what_is_stored_like_this_already_is_skipped(api: Api) -> None:
    profiles: list[dict[str, Any]] = [
        {"streamer_id": f"same-{i}", "tags": ["cooking"]} for i in range(3)
    ]
    profiles += [
        {"streamer_id": "same-0", "tags": ["music"]},
        {"streamer_id": "same-0", "tags": ["cooking"]},
    ]
    first = bulk(api, lines_of(profiles), skip_unchanged=True)
    assert [r["outcome"] for r in first] == ["created"] * 3 + ["updated"] * 2
    second = bulk(api, lines_of(profiles), skip_unchanged=True)
    assert [r["outcome"] for r in second] == ["unchanged"] * 3 + ["updated"] * 2
    assert second[1] == {
        "line": 2,
        "streamer_id": "same-1",
        "outcome": "unchanged",
        "version": first[1]["version"],
    }
    assert outcomes(api, profiles[:3]) == ["updated"] * 3
    assert api.ok("GET", "/v1/streamers/same-0")["profile"]["tags"] == ["cooking"]


def test_attributes_in_another_order_are_no_change(api: Api) -> None:
    attributes = {"level": 7, "country": "CN", "is_vip": True}

    def written(order: Sequence[str], **changes: object) -> str:
        shown = {name: {**attributes, **changes}[name] for name in order}
        line = {"streamer_id": "ordered", "tags": ["music"], "attributes": shown}
        (outcome,) = outcomes(api, [line], skip_unchanged=True)
        return outcome

    assert written(["level", "country", "is_vip"]) == "created"
    assert written(["is_vip", "level", "country"]) == "unchanged"
    assert written(["level", "country", "is_vip"], level=8) == "updated"
    stored = api.ok("GET", "/v1/streamers/ordered")["profile"]["attributes"]
    assert stored == {**attributes, "level": 8}


def test_near_duplicates_of_each_line_are_told_where_they_are_asked_for(api: Api) -> None:
    copied = {"bio": "beach hostel 户外 露营", "tags": ["beach", "露营"]}
    profiles = [
        {"streamer_id": "near-a", **copied},
        {"streamer_id": "near-b", **copied, "name": "x"},
        {"streamer_id": "near-c", "bio": "concert vocal", "tags": ["吉他"]},
        {"streamer_id": "near-none"},
    ]
    found = bulk(api, lines_of(profiles), near_duplicates=True)
    names = [[each["streamer_id"] for each in line["near_duplicates"]] for line in found]
    assert names == [["near-b"], ["near-a"], [], []]
    assert found[0]["near_duplicates"][0]["score"] > 0.8
    assert {line["near_duplicates_unavailable_because"] for line in found} == {None}


def test_a_client_that_sends_everything_first_reads_every_result(
    api: Api, service: Service
) -> None:
    """Too many lines are received to their end, and the last result says where to go on."""
    address = urlsplit(service.url)
    lines = b"".join(
        b'{"streamer_id": "first-%d"}\n' % i if i % 100 == 0 else b'{"tags": 1, "bio": 2}\n'
        for i in range(MOST_LINES + 500)
    )
    with socket.create_connection((address.hostname, address.port), 120) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(
            b"POST /v1/streamers:bulk HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Authorization: Bearer %s\r\nContent-Type: application/x-ndjson\r\n"
            b"Content-Length: %d\r\n\r\n" % (str(service.key).encode(), len(lines))
        )
        connection.sendall(lines)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    content = answer.split(b"\r\n\r\n", 1)[1].split(b"\r\n")[1::2]  # between the sizes of chunks
    *results, last = map(json.loads, b"".join(content).splitlines())
    assert [one["line"] for one in results] == list(range(1, MOST_LINES + 1))
    assert sum(one["outcome"] == "created" for one in results) == MOST_LINES // 100
    assert (last["line"], last["outcome"]) == (MOST_LINES + 1, "error")
    assert (last["error"]["status"], last["error"]["code"]) == (413, "body_too_large")
    path = f"/v1/streamers/first-{MOST_LINES}"
    api.refused("GET", path, status=404, code="streamer_not_found")


# As a job


@pytest.mark.parametrize("prefer", ["respond-async", "wait=10, respond-async; x=1"])
def test_a_caller_that_prefers_a_job_gets_one(api: Api, prefer: str) -> None:
    name = f"job-{len(prefer)}"
    lines: list[dict[str, Any]] = [
        {"streamer_id": f"{name}-a", "tags": ["music"]},
        {"streamer_id": f"{name}-b", "nmae": "x"},
        {"streamer_id": f"{name}-c"},
        {"streamer_id": f"{name}-a", "tags": ["cooking"]},
    ]
    headers = {**NDJSON, "Prefer": prefer}
    results: list[dict[str, Any]] = []
    for _ in range(2):
        params = {"skip_unchanged": True}
        answer = api.post(PATH, content=lines_of(lines), headers=headers, params=params)
        assert answer.status_code == 202
        assert answer.headers["preference-applied"] == "respond-async"
        job = answer.json()
        assert answer.headers["location"] == f"/v1/jobs/{job['job_id']}"
        assert job["kind"] == "import"
        job = api.finished(job)
        assert job["progress"]["done"] == 4
        results.append(job["result"])
    counts = ("lines", "created", "updated", "unchanged", "refused", "without_content")
    assert [[result[each] for each in counts] for result in results] == [
        [4, 2, 1, 0, 1, 1],
        [4, 0, 2, 1, 1, 0],
    ]
    (refused,) = results[0]["refused_lines"]
    assert (refused["line"], wrong_fields(refused["error"])) == (2, ["/nmae"])
    stored = api.ok("GET", f"/v1/streamers/{name}-a")
    assert (stored["profile"]["tags"], stored["version"]) == (["cooking"], results[1]["sequence"])
