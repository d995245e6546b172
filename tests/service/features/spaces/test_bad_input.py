"""Hand-overs that are wrong: a clear error, and nothing is changed."""

import codecs
import json
import socket
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.store.redis.spaces.store import RedisSpaces
from tests.service.conftest import Serve
from tests.service.features.spaces.hand_overs import (
    NDJSON,
    NPZ,
    PARQUET,
    HandOver,
    checks_of,
    hand_over_of,
    promote,
    send,
    space_of,
    store_streamers,
)
from tests.service.http.test_bad_input import problem
from tests.service.process import wait_until


def changed(vectors: np.ndarray, row: int, value: float) -> np.ndarray:
    """Vectors of which one is made of this value."""
    made = vectors.copy()
    made[row] = value
    return made


@pytest.mark.slow
@pytest.mark.parametrize("form", [NDJSON, NPZ])
@pytest.mark.parametrize(
    ("value", "what"),
    [
        (np.nan, "has a number that is not finite"),
        (np.inf, "has a number that is not finite"),
        (0.0, "is zero"),
        (1e30, "is too long or too short"),
    ],
)
def test_vectors_that_are_none(
    serving: TestClient, handed: HandOver, form: str, value: float, what: str
) -> None:
    wrong = handed.but(vectors=changed(handed.vectors, 17, value))
    body = wrong.lines() if form == NDJSON else wrong.npz()
    detail = problem(send(serving, "g1", body, form), 422, "invalid_request")["detail"]
    assert detail.startswith("line 18: " if form == NDJSON else "vectors[17]: ")
    assert what in detail
    wrong = handed.but(user_vectors=changed(handed.user_vectors, 3, value))
    body = wrong.lines() if form == NDJSON else wrong.npz()
    detail = problem(send(serving, "g1", body, form), 422, "invalid_request")["detail"]
    assert detail.startswith("line 84: " if form == NDJSON else "user_vectors[3]: ")


@pytest.mark.slow
def test_another_width_is_refused(serving: TestClient, handed: HandOver) -> None:
    other = handed.but(vectors=handed.vectors[:, :8], user_vectors=handed.user_vectors[:, :8])
    made = send(serving, "g1", other.npz()).json()
    assert (made["state"], checks_of(made)["width"]["passed"]) == ("refused", False)
    assert "8 numbers, generation 'g0' has 12" in checks_of(made)["width"]["detail"]


def test_half_of_the_ids_are_unknown(serving: TestClient, handed: HandOver) -> None:
    ids = [name if row % 2 else f"other-{name}" for row, name in enumerate(handed.ids)]
    answer = send(serving, "g1", handed.but(ids=ids).npz(), promote="true")
    found = problem(answer, 409, "generation_refused")
    assert "known_ids: 50.0% of the streamers are stored here" in found["detail"]
    assert found["errors"][0]["pointer"] == "/checks/known_ids"


def test_shuffled_rows(serving: TestClient, handed: HandOver) -> None:
    answer = send(serving, "g1", handed.shuffled().npz(), promote="true")
    detail = problem(answer, 409, "generation_refused")["detail"]
    assert detail.startswith("neighbourhoods: ")
    assert "do the rows still belong to their ids?" in detail
    answer = serving.post("/v1/spaces/als/generations/g1:promote")
    assert problem(answer, 409, "generation_refused")["detail"] == detail


def test_shuffled_rows_of_a_first_generation(serving: TestClient, handed: HandOver) -> None:
    made = send(serving, "g0", handed.shuffled().npz(), space="new").json()
    assert (made["state"], checks_of(made)["content"]["passed"]) == ("refused", False)
    path = "/v1/spaces/new/generations/g0"
    answer = serving.post(path + ":promote")
    assert "content: " in problem(answer, 409, "generation_refused")["detail"]
    assert space_of(serving, "new")["active"] is None
    # Who has the scope admin may know better.
    forced = serving.post(path + ":promote", params={"force": "true"})
    assert forced.json()["active"]["generation"] == "g0"
    serving.delete(path).raise_for_status()


def test_vectors_that_would_be_first_everywhere_or_are_all_the_same(
    serving: TestClient, handed: HandOver
) -> None:
    long, same = handed.vectors.copy(), handed.vectors.copy()
    long[3] *= 1e5
    same[: len(same) // 2 + 2] = same[0]
    for vectors, check in ((long, "norms"), (same, "duplicates")):
        answer = send(serving, "g1", handed.but(vectors=vectors).npz(), promote="true")
        told = problem(answer, 409, "generation_refused")
        assert f"/checks/{check}" in [error["pointer"] for error in told["errors"]]
        serving.delete("/v1/spaces/als/generations/g1").raise_for_status()


def test_users_without_streamers(serving: TestClient, handed: HandOver) -> None:
    nobody = handed.but(ids=[], vectors=handed.vectors[:0])
    detail = problem(send(serving, "g1", nobody.lines(), NDJSON), 422, "invalid_request")["detail"]
    assert "users are of use beside streamers alone" in detail
    assert problem(send(serving, "g1", nobody.npz()), 422, "invalid_request")
    assert problem(send(serving, "g1", b"", NDJSON), 422, "invalid_request")


def test_lines_may_begin_with_a_byte_order_mark(serving: TestClient, handed: HandOver) -> None:
    content = codecs.BOM_UTF8 + handed.lines()
    assert send(serving, "g1", content, NDJSON).json()["state"] == "checked"


def test_the_same_generation_twice(serving: TestClient, handed: HandOver) -> None:
    detail = problem(send(serving, "g0", handed.npz()), 409, "generation_exists")["detail"]
    assert "choose another name, or delete that one first" in detail


@pytest.mark.slow
@pytest.mark.parametrize("part", [0.3, 0.97, 0.9999])
def test_an_upload_that_was_cut(serving: TestClient, handed: HandOver, part: float) -> None:
    whole = handed.npz()
    detail = problem(send(serving, "g1", whole[: int(len(whole) * part)]), 422, "invalid_request")[
        "detail"
    ]
    assert "cut off" in detail
    lines = handed.lines()
    cut = problem(
        send(serving, "g1", lines[: int(len(lines) * part) - 1], NDJSON), 422, "invalid_request"
    )["detail"]
    assert cut.startswith("line ")
    assert problem(send(serving, "g1", whole[: len(whole) // 2], PARQUET), 422, "invalid_request")


@pytest.mark.slow
def test_a_client_that_leaves_in_the_middle_of_an_upload(serve: Serve) -> None:
    service = serve()
    client: Any = service.client
    handed = hand_over_of(client, store_streamers(client))
    send(client, "g0", handed.npz(), promote="true").raise_for_status()
    body = handed.turned(1).npz()
    head = (
        "PUT /v1/spaces/als/generations/g1 HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: {NPZ}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", urlsplit(service.url).port or 0), 60) as sending:
        sending.sendall(head.encode() + body[: len(body) // 2])
        folder = service.data_dir / "spaces"
        wait_until(lambda: any(folder.glob("*.part")), "it is being received")
    wait_until(lambda: not any(folder.glob("*.part")), "it was given up")
    assert [g["generation"] for g in space_of(client)["generations"]] == ["g0"]

    def sent_again() -> bool:
        return send(client, "g1", body).status_code == 201

    wait_until(sent_again, "others may begin")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"[]", "line 1: "),
        (b'{"kind": "team", "id": "a", "vector": [1]}', "line 1: kind: "),
        (b'{"kind": "streamer", "id": "a", "vector": ["1"]}', "line 1: vector/0: "),
        (b'{"kind": "streamer", "id": "a", "vector": [true]}', "line 1: vector/0: "),
        (b'{"kind": "streamer", "id": "a", "vector": [1], "name": "b"}', "line 1: name: "),
        (b'{"kind": "streamer", "id": 7, "vector": [1]}', "line 1: id: "),
        (b'{"kind": "streamer", "id": "..", "vector": [1]}', "line 1: the id '..' is not"),
        (b'{"kind": "user", "id": "a\\n", "vector": [1]}', "printable"),
        (b'{"kind": "user", "id": ".", "vector": [1]}', "line 1: the id '.' is not"),
        (b'{"kind": "user", "id": "..", "vector": [1]}', "not `.` or `..`"),
        (b'{"kind": "user", "id": "a", "vector": [1], "interactions": 3}', "streamers alone"),
        (b'{"kind": "streamer", "id": "a", "vector": []}', "the vector has 0 numbers"),
        (b'{"kind": "streamer", "id": "a", "vector": [' + b"1," * 140_000 + b"1]}", "is longer"),
        (
            b'{"kind": "streamer", "id": "a", "vector": [1], "attributes": {"x": 1}}',
            "attributes are told of users alone",
        ),
        (b'{"kind": "user", "id": "a", "vector": [1], "attributes": {"x": [1]}}', "attributes/x"),
        (b'{"kind": "user", "id": "a", "vector": [1], "attributes": {"": 1}}', "has 0 characters"),
        (
            b'{"kind": "user", "id": "a", "vector": [1], "attributes": {"x": 9007199254740993}}',
            "send an id as text",
        ),
        (
            json.dumps(
                {
                    "kind": "user",
                    "id": "a",
                    "vector": [1],
                    "attributes": {f"x{i}": i for i in range(17)},
                }
            ).encode(),
            "more than 16 different attributes, 'x16'",
        ),
        (
            b'{"kind": "streamer", "id": "a", "vector": [1, 2]}\n'
            b'{"kind": "streamer", "id": "b", "vector": [1]}',
            "line 2: the vector has 1 numbers, those before have 2",
        ),
        (
            b'{"kind": "streamer", "id": "a", "vector": [1, 2], "interactions": 5}\n'
            b'{"kind": "streamer", "id": "b", "vector": [1, 3]}',
            "line 2: some streamers have interactions and others do not",
        ),
    ],
)
def test_lines_that_are_none(serving: TestClient, line: bytes, what: str) -> None:
    assert what in problem(send(serving, "g1", line, NDJSON), 422, "invalid_request")["detail"]


@pytest.mark.parametrize("name", ["a:b", "-a", "a b", "é", "x" * 65, "a/b", "a%2Fb"])
def test_names_that_are_none(serving: TestClient, handed: HandOver, name: str) -> None:
    found = problem(send(serving, name, handed.npz()), 422, "invalid_request")
    assert found["errors"][0]["parameter"] == "generation"
    found = problem(send(serving, "g1", handed.npz(), space=name), 422, "invalid_request")
    assert found["errors"][0]["parameter"] == "space"
    assert problem(serving.delete(f"/v1/spaces/als/generations/{name}"), 422, "invalid_request")


def test_a_hand_over_of_another_kind(serving: TestClient) -> None:
    answer = send(serving, "g1", b"{}", "application/json")
    assert NPZ in problem(answer, 415, "unsupported_media_type")["detail"]
    assert problem(send(serving, "g1", b"", "text/csv"), 415, "unsupported_media_type")


def test_a_second_upload_meanwhile(serving: TestClient, handed: HandOver) -> None:
    # The test's client sends a body as a whole: the first one is another replica's.
    store = RedisSpaces(serving.app_state["services"].spaces._store._client)  # type: ignore[index]
    assert serving.portal is not None
    assert serving.portal.call(store.begin_upload, "als", "another replica")
    try:
        answer = send(serving, "g1", handed.lines(), NDJSON)
        detail = problem(answer, 409, "hand_over_under_way")["detail"]
        assert "try again when it is done" in detail
        # Other spaces have nothing to do with it.
        send(serving, "g1", handed.npz(), space="other").raise_for_status()
        serving.delete("/v1/spaces/other/generations/g1").raise_for_status()
    finally:
        serving.portal.call(store.end_upload, "als", "another replica")
    send(serving, "g1", handed.npz()).raise_for_status()


def test_there_is_no_such_thing(serving: TestClient) -> None:
    assert "known: als" in problem(serving.get("/v1/spaces/x"), 404, "space_not_found")["detail"]
    path = "/v1/spaces/als/generations/g9"
    assert problem(serving.post(path + ":promote"), 404, "generation_not_found")
    assert problem(serving.delete(path), 404, "generation_not_found")
    assert problem(serving.post("/v1/spaces/x:rollback"), 404, "space_not_found")
    assert problem(serving.delete("/v1/spaces/x/users/u"), 404, "space_not_found")
    assert problem(serving.get("/v1/spaces/x/streamers/u"), 404, "space_not_found")
    assert problem(serving.post("/v1/spaces/als:rollback"), 409, "nothing_before")


def test_nothing_is_left_of_what_was_refused(serving: TestClient, handed: HandOver) -> None:
    services = serving.app_state["services"]  # type: ignore[index]
    folder = services.spaces._receiver._spool.folder
    send(serving, "g1", handed.npz()[:-100])
    send(serving, "g1", json.dumps({"kind": "user"}).encode(), NDJSON)

    def names() -> list[str]:
        return [path.name for path in folder.iterdir() if path.name != "place"]

    wait_until(lambda: not names(), "the spool is empty")


def test_promoting_what_is_served_changes_nothing(serving: TestClient) -> None:
    shown = promote(serving, "g0")
    assert (shown["active"]["generation"], shown["previous"]) == ("g0", None)
