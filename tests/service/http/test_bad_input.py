"""Wrong requests: the right status, a code, the field by name, and nothing changed."""

import json

import pytest
from fastapi.testclient import TestClient

from tests.bundles import DIM, SPACE, SPACE_WIDTH
from tests.service.conftest import put
from tests.service.data_sets import NDJSON

NAN_VECTOR = f'{{"avatar":{{"vector":[NaN,1,2,3],"space":"{SPACE}"}}}}'


def problem(answer, status: int, code: str) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["code"] == code
    assert body["request_id"] == answer.headers["x-request-id"]
    return body


def pointers(body: dict) -> list[str]:
    return [e.get("pointer", e.get("parameter")) for e in body["errors"]]


@pytest.mark.parametrize(
    ("profile", "pointer"),
    [
        ('{"nmae":"x"}', "/nmae"),
        ('{"videos":[{"video_id":"v","titel":"x"}]}', "/videos/0/titel"),
        ('{"bio":7}', "/bio"),
        ('{"tags":"cooking"}', "/tags"),
        (json.dumps({"bio": "x" * 6000}), "/bio"),
        (NAN_VECTOR, "/avatar/vector/0"),
        ('{"avatar":{"vector":[1],"space":"nowhere"}}', "/avatar/space"),
        (f'{{"avatar":{{"vector":[1,2],"space":"{SPACE}"}}}}', "/avatar/vector"),
        (
            f'{{"videos":[{{"video_id":"v","cover":{{"vector":[1],"space":"{SPACE}"}}}}]}}',
            "/videos/0/cover/vector",
        ),
        ('{"avatar":{"vector":[1]}}', "/avatar"),
        ('{"attributes":{"a":[1]}}', "/attributes/a"),
        ('{"streamer_id":"other"}', "/streamer_id"),
        ('{"videos":[{"video_id":"v","published_at":"2026-01-01T00:00:00"}]}', None),
        ("[]", ""),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_stored(
    client: TestClient, profile: str, pointer: str | None
) -> None:
    answer = client.put(
        "/v1/streamers/s", content=profile, headers={"Content-Type": "application/json"}
    )
    body = problem(answer, 422, "invalid_request")
    assert pointers(body) == [pointer or "/videos/0/published_at"] or pointer == ""
    assert client.get("/v1/streamers/s").status_code == 404


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"bio":"\xff\xfe"}', "not UTF-8: invalid start byte at byte 8"),
        (b'{"bio":"\xed\xa0\x80"}', "not UTF-8: invalid continuation byte"),
        ('{"bio":"noodles"}'.encode("utf-16"), "not UTF-8: invalid start byte at byte 0"),
        ('{"bio":"noodles"}'.encode("utf-16-le"), "not JSON"),
        ('{"bio":"noodles"}'.encode("utf-32"), "not UTF-8: invalid start byte at byte 0"),
        ('{"bio":"noodles"}'.encode("utf-32-be"), "not JSON"),
        (b'{"bio":', "not JSON: Expecting value at line 1 column 8"),
        (b"rubbish", "not JSON: Expecting value at line 1 column 1"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"attributes":{"n":' + b"1" * 5000 + b"}}", "a whole number has more than 4300 digits"),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_body_that_is_not_utf8_json_is_malformed(
    client: TestClient, method: str, body: bytes, reason: str
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = client.request(method, "/v1/streamers/s", content=body, headers=headers)
    assert problem(answer, 400, "malformed_body")["detail"].startswith(reason)
    assert client.get("/v1/streamers/s").status_code == 404


def test_a_byte_order_mark_is_ignored(client: TestClient) -> None:
    profile = '{"streamer_id":"s","tags":["cooking"]}'.encode("utf-8-sig")
    headers = {"Content-Type": "application/json"}
    assert client.put("/v1/streamers/s", content=profile, headers=headers).status_code == 201
    assert client.patch("/v1/streamers/s", content=profile, headers=headers).status_code == 200
    lines = client.post("/v1/streamers:bulk", content=profile, headers=NDJSON)
    assert lines.json()["outcome"] == "updated"
    question = '{"positive":[{"streamer_id":"s"}]}'.encode("utf-8-sig")
    assert client.post("/v1/similar", content=question, headers=headers).status_code == 200


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_what_is_no_json_object_is_told_how_to_send_one(client: TestClient, method: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = client.request(method, "/v1/streamers/s", content=b"[]", headers=headers)
    said = problem(answer, 422, "invalid_request")["detail"]
    assert said == "body: must be a JSON object, sent with Content-Type: application/json"


def test_a_lone_surrogate_is_no_text(client: TestClient) -> None:
    answer = client.put(
        "/v1/streamers/s",
        content=b'{"bio":"\\ud800"}',
        headers={"Content-Type": "application/json"},
    )
    assert pointers(problem(answer, 422, "invalid_request")) == ["/bio"]
    assert client.get("/v1/streamers/s").status_code == 404


@pytest.mark.parametrize("declared", [True, False])
def test_ten_megabytes_are_too_large(client: TestClient, declared: bool) -> None:
    body = b'{"bio":"' + b"x" * 10_000_000 + b'"}'
    content = body if declared else iter([body[i : i + 65536] for i in range(0, len(body), 65536)])
    answer = client.put(
        "/v1/streamers/s", content=content, headers={"Content-Type": "application/json"}
    )
    assert "8388608" in problem(answer, 413, "body_too_large")["detail"]


@pytest.mark.parametrize("bad", ["a%20b", "%2e%2e", "x" * 129, "名"])
def test_an_id_that_is_none_is_refused(client: TestClient, bad: str) -> None:
    answer = client.put(f"/v1/streamers/{bad}", json={"tags": ["cooking"]})
    assert pointers(problem(answer, 422, "invalid_request")) == ["streamer_id"]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["a%2Fb", "a/nonsense", "a%0Ab", "a%0A", "", "a/similar%0A", "a/"])
def test_a_path_below_the_streamers_that_is_none(
    client: TestClient, method: str, path: str
) -> None:
    put(client, "a", tags=["cooking"])
    before = client.get("/v1/streamers/a").json()
    body = None if method in ("GET", "DELETE") else {"tags": ["x"]}
    answer = client.request(method, f"/v1/streamers/{path}", json=body)
    problem(answer, 404, "no_such_path")
    assert client.get("/v1/streamers/a").json() == before


def test_versions_are_checked(client: TestClient) -> None:
    first = put(client, "s", tags=["cooking"])
    second = put(client, "s", tags=["music"])
    stale = {"If-Match": f'"{first}"'}
    for answer in (
        client.put("/v1/streamers/s", json={"tags": ["x"]}, headers=stale),
        client.patch("/v1/streamers/s", json={"tags": ["x"]}, headers=stale),
        client.delete("/v1/streamers/s", headers=stale),
        client.put("/v1/streamers/s", json={"tags": ["x"]}, headers={"If-None-Match": "*"}),
    ):
        assert str(second) in problem(answer, 412, "version_conflict")["detail"]
    assert client.get("/v1/streamers/s").json()["profile"]["tags"] == ["music"]
    absent = client.put("/v1/streamers/t", json={}, headers={"If-Match": '"5"'})
    problem(absent, 412, "version_conflict")


@pytest.mark.parametrize(
    "headers",
    [
        {"If-Match": "latest"},
        {"If-Match": '"0"'},
        {"If-Match": b"\xb2"},  # a superscript two: a digit to `str.isdigit`, but not to `int`
        {"If-Match": "9" * 5000},
        {"If-None-Match": '"3"'},
    ],
)
def test_a_version_that_is_none_is_refused(client: TestClient, headers: dict[str, str]) -> None:
    body = problem(client.put("/v1/streamers/s", json={}, headers=headers), 422, "invalid_request")
    assert pointers(body) == [next(iter(headers)).lower()]


def test_every_seed_that_is_not_stored_is_named(client: TestClient) -> None:
    put(client, "known", tags=["cooking"])
    sequence = put(client, "empty")
    answer = client.post(
        "/v1/similar",
        json={
            "positive": [{"streamer_id": "known"}, {"streamer_id": "gone-1"}],
            "negative": [{"streamer_id": "gone-2"}],
            "after_sequence": sequence,
        },
    )
    body = problem(answer, 404, "streamer_not_found")
    assert pointers(body) == ["/positive/1/streamer_id", "/negative/0/streamer_id"]
    assert "gone-1" in body["detail"]
    assert "gone-2" in body["detail"]
    body = problem(client.get("/v1/streamers/empty/similar"), 422, "invalid_request")
    assert body["detail"].startswith("streamer_id: streamer 'empty' shows nothing")
    assert "insufficient_content" in body["detail"]
    assert [(e["parameter"], "pointer" in e) for e in body["errors"]] == [("streamer_id", False)]
    detail = "streamer 'gone' is not stored"
    for answer in (
        client.get("/v1/streamers/gone"),
        client.get("/v1/streamers/gone/similar"),
        client.get("/v1/streamers/gone/similar", params={"explain": True}),
        client.get("/v1/streamers/gone/embedding"),
        client.delete("/v1/streamers/gone"),
        client.patch("/v1/streamers/gone", json={}),
    ):
        body = problem(answer, 404, "streamer_not_found")
        assert body["detail"] == detail
        assert body["errors"] == [{"detail": detail, "parameter": "streamer_id"}]
    answer = client.post("/v1/cold-start", json={"streamer_id": "gone"})
    body = problem(answer, 404, "streamer_not_found")
    assert body["errors"] == [{"detail": detail, "pointer": "/streamer_id"}]
    body = problem(client.post("/v1/dedup", json={"ids": ["x", "y"]}), 404, "streamer_not_found")
    assert pointers(body) == ["/ids/0", "/ids/1"]
    answer = client.post("/v1/dedup", json={"ids": ["x", "known", "y"]}).json()
    assert (answer["not_stored"], answer["unique"]) == (["x", "y"], ["known"])


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"positive": []}, "/positive"),
        ({}, "/positive"),
        ({"positive": [{}]}, "/positive/0"),
        ({"positive": [{"streamer_id": "a", "vector": [1]}]}, "/positive/0"),
        ({"positive": [{"vector": [1.0] * (DIM + 1)}]}, "/positive/0/vector"),
        ({"positive": [{"vector": [0.0] * DIM}]}, "/positive/0/vector"),
        ({"positive": [{"profile": {}}]}, "/positive/0/profile"),
        ({"positive": [{"profile": {"language": "zh"}}]}, "/positive/0/profile"),
        ({"positive": [{"profile": {"bio": "欢迎关注!"}}]}, "/positive/0/profile"),
        ({"positive": [{"vector": [1.0] * DIM, "weight": 0}]}, "/positive/0/weight"),
        ({"positive": [{"vector": [1.0] * DIM}], "k": 0}, "/k"),
        ({"positive": [{"vector": [1.0] * DIM}], "k": 1001}, "/k"),
        ({"positive": [{"vector": [1.0] * DIM}], "k": "many"}, "/k"),
        ({"positive": [{"vector": [1.0] * DIM}], "min_score": 2}, "/min_score"),
        ({"positive": [{"vector": [1.0] * DIM}], "strategy": "x"}, "/strategy"),
        ({"positive": [{"vector": [1.0] * DIM}] * 101}, "/positive"),
        (
            {"positive": [{"vector": [1.0] * DIM}], "filter": {"must": [{"field": "views"}]}},
            "/filter/must/0",
        ),
        (
            {"positive": [{"vector": [1.0] * DIM}], "filter": {"must": [{"feld": "v", "gt": 1}]}},
            "/filter/must/0/field",
        ),
    ],
)
def test_a_wrong_query_is_explained(client: TestClient, query: dict, pointer: str) -> None:
    body = problem(client.post("/v1/similar", json=query), 422, "invalid_request")
    assert pointer in pointers(body)


def test_a_query_vector_with_nan_is_refused(client: TestClient) -> None:
    body = '{"positive":[{"vector":[' + ",".join(["NaN"] * DIM) + "]}]}"
    answer = client.post("/v1/similar", content=body, headers={"Content-Type": "application/json"})
    assert "/positive/0/vector/0" in pointers(problem(answer, 422, "invalid_request"))


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("PUT", "/v1/streamers/s", {"tags": "a"}, "/tags: must be a JSON array"),
        ("PUT", "/v1/streamers/s", {"avatar": "x"}, "/avatar: must be a JSON object"),
        ("PUT", "/v1/streamers/s", {"bio": 5}, "/bio: must be a valid string"),
        ("PUT", "/v1/streamers/s", {"avatar": {"url": "http://a"}}, "/avatar/url: must be an addr"),
        ("PUT", "/v1/streamers/s", {"videos": [{}]}, "/videos/0/video_id: is missing"),
        ("PUT", "/v1/streamers/s", None, "body: is missing; it is required, sent with Content"),
        ("POST", "/v1/similar", {"positive": ["s"]}, "/positive/0: must be a JSON object"),
        ("POST", "/v1/dedup", {}, "body: needs exactly one of: ids, profiles"),
        ("GET", "/v1/streamers/s/similar?k=0", None, "k: must be greater than or equal to 1"),
        ("GET", "/v1/streamers/s/similar?exact=so", None, "exact: must be true or false"),
    ],
)
def test_what_is_wrong_is_said_in_words_of_the_caller(
    client: TestClient, method: str, path: str, body: dict | None, said: str
) -> None:
    answer = client.request(method, path, json=body)
    assert problem(answer, 422, "invalid_request")["detail"].startswith(said)


@pytest.mark.parametrize("k", ["0", "1001", "-1", "x"])
def test_k_of_a_get_is_checked(client: TestClient, k: str) -> None:
    put(client, "s", tags=["cooking"])
    answer = client.get("/v1/streamers/s/similar", params={"k": k})
    assert pointers(problem(answer, 422, "invalid_request")) == ["k"]


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/v1/cold-start", {}, ""),
        ("/v1/cold-start", {"streamer_id": "a", "profile": {}}, ""),
        ("/v1/cold-start", {"profile": {}, "space": "other"}, "/space"),
        ("/v1/cold-start", {"profile": {}, "neighbours": 0}, "/neighbours"),
        ("/v1/dedup", {}, ""),
        ("/v1/dedup", {"ids": []}, "/ids"),
        ("/v1/dedup", {"ids": ["a", "a/b"]}, "/ids/1"),
        ("/v1/dedup", {"ids": ["a"], "threshold": 1.5}, "/threshold"),
        ("/v1/dedup", {"ids": ["a"], "mode": "x"}, "/mode"),
        ("/v1/dedup", {"profiles": [{"streamer_id": "a"}] * 2}, "/profiles/1"),
        (
            "/v1/dedup",
            {
                "profiles": [
                    {
                        "streamer_id": "a",
                        "avatar": {"vector": [1] * (SPACE_WIDTH + 1), "space": SPACE},
                    }
                ]
            },
            "/profiles/0/avatar/vector",
        ),
    ],
)
def test_wrong_cold_starts_and_dedups(
    client: TestClient, path: str, body: dict, pointer: str
) -> None:
    assert pointer in pointers(problem(client.post(path, json=body), 422, "invalid_request"))


def test_bad_lines_in_the_middle_stop_nothing(client: TestClient) -> None:
    lines = [
        json.dumps({"streamer_id": "n1", "tags": ["cooking"]}).encode(),
        b"rubbish",
        b"",
        json.dumps({"streamer_id": "n2", "nmae": "x"}).encode(),
        b'{"streamer_id":"n3","bio":"\xff"}',
        json.dumps({"tags": ["cooking"]}).encode(),
        json.dumps({"streamer_id": "n4", "avatar": {"vector": [1], "space": SPACE}}).encode(),
        json.dumps({"streamer_id": "n5", "bio": "x" * 6000}).encode(),
        json.dumps({"streamer_id": "n1", "tags": ["music"]}).encode(),
        json.dumps({"streamer_id": "n6"}).encode(),
    ]
    answer = client.post("/v1/streamers:bulk", content=b"\n".join(lines), headers=NDJSON)
    assert answer.status_code == 200
    results = [json.loads(line) for line in answer.text.splitlines()]
    assert [(r["line"], r["outcome"]) for r in results] == [
        (1, "created"),
        (2, "error"),
        (4, "error"),
        (5, "error"),
        (6, "error"),
        (7, "error"),
        (8, "error"),
        (9, "updated"),
        (10, "created"),
    ]
    assert pointers(results[2]["error"]) == ["/nmae"]
    assert pointers(results[5]["error"]) == ["/avatar/vector"]
    assert client.get("/v1/streamers/n1").json()["profile"]["tags"] == ["music"]
    assert client.get("/v1/streamers/n2").status_code == 404


def test_a_line_that_is_too_long_is_one_bad_line(client: TestClient) -> None:
    long = b'{"streamer_id":"n","bio":"' + b"x" * (9 << 20) + b'"}'
    good = json.dumps({"streamer_id": "n2", "tags": ["cooking"]}).encode()
    answer = client.post("/v1/streamers:bulk", content=long + b"\n" + good, headers=NDJSON)
    results = [json.loads(line) for line in answer.text.splitlines()]
    assert [r["outcome"] for r in results] == ["error", "created"]
    assert results[0]["error"]["code"] == "body_too_large"


def test_a_cursor_that_is_none_is_refused(client: TestClient) -> None:
    answer = client.get("/v1/streamers", params={"cursor": "ä"})
    assert pointers(problem(answer, 422, "invalid_request")) == ["cursor"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/streamers?limit=1&limit=2", "limit"),
        ("/v1/streamers?limit=1&limit=1", "limit"),
        ("/v1/streamers/s/similar?k=1&explain=false&k=2", "k"),
        ("/v1/similar?cursor=a&cursor=b", "cursor"),
    ],
)
def test_a_parameter_that_comes_twice_is_refused(client: TestClient, path: str, name: str) -> None:
    put(client, "s", tags=["cooking"])
    body = problem(client.get(path), 422, "invalid_request")
    assert body["detail"] == f"{name}: came more than once; send it once"
    assert pointers(body) == [name]


def test_a_sequence_that_never_comes_is_not_waited_for_long(client: TestClient) -> None:
    sequence = put(client, "s", tags=["cooking"])
    answer = client.get("/v1/streamers/s/similar", params={"after_sequence": sequence + 1_000_000})
    problem(answer, 503, "not_yet_visible")
    assert answer.headers["retry-after"] == "1"


def test_paths_and_methods_that_are_not_there(client: TestClient) -> None:
    said = problem(client.get("/v1/nothing"), 404, "no_such_path")["detail"]
    assert said == "there is nothing at this path; /docs and /openapi.json list all paths"
    for path, allowed in (
        ("/v1/similar", "GET, POST"),
        ("/v1/streamers", "GET"),
        ("/v1/streamers/a", "DELETE, GET, PATCH, PUT"),
        ("/v1/streamers:bulk", "POST"),
    ):
        answer = client.options(path)
        said = problem(answer, 405, "method_not_allowed")["detail"]
        assert said == f"this path takes {allowed}; it does not take OPTIONS"
        assert answer.headers["allow"] == allowed
