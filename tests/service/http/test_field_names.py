"""Fields of bodies that are called like a place of a request."""

import json

import pytest
from fastapi.testclient import TestClient

from tests.service.conftest import put
from tests.service.http.test_bad_input import problem


@pytest.mark.parametrize("name", ["path", "query", "header", "body"])
def test_a_field_that_is_called_like_a_place_is_a_field(client: TestClient, name: str) -> None:
    put(client, "s", tags=["cooking"])
    body = {"streamer_id": "s", name: {"x": 1}}
    (line,) = client.post(
        "/v1/streamers:bulk",
        content=json.dumps(body),
        headers={"Content-Type": "application/x-ndjson"},
    ).text.splitlines()[:1]
    found = [json.loads(line)["error"]]
    for answer in (
        client.patch("/v1/streamers/s", json={name: {"x": 1}}),
        client.put("/v1/streamers/s", json=body),
        client.post("/v1/jobs/exports", json={name: {"x": 1}}),
        client.post("/v1/jobs/imports", json={name: {"x": 1}}),
    ):
        found.append(problem(answer, 422, "invalid_request"))
    for error in found[:-1]:
        (wrong,) = error["errors"]
        assert (wrong["pointer"], wrong.get("parameter")) == (f"/{name}", None)
    assert all("parameter" not in wrong for wrong in found[-1]["errors"])


@pytest.mark.slow
@pytest.mark.parametrize("blank", ["\u200b", " \u2060\ufeff", "\u3164", "\u2800 \u034f"])
def test_a_name_shows_something(client: TestClient, blank: str) -> None:
    put(client, "s", tags=["cooking"])
    question = {"positive": [{"streamer_id": "s"}]}
    asked = {
        "/title": [
            client.post("/v1/cases", json={"title": blank, "seeds": ["s"]}),
            client.put("/v1/lists/blank", json={"title": blank, "question": question}),
        ],
        "/name": [
            client.post("/v1/watchlists", json={**question, "name": blank, "min_probability": 0.9}),
            client.post("/v1/keys", json={"name": blank, "role": "admin"}),
        ],
    }
    for pointer, answers in asked.items():
        for answer in answers:
            (wrong,) = problem(answer, 422, "invalid_request")["errors"]
            assert wrong["pointer"] == pointer
    for name in ("名", "🎸", "a\u200bb"):
        client.post("/v1/cases", json={"title": name, "seeds": ["s"]}).raise_for_status()


def test_an_id_in_a_list_that_is_none_is_told_what_an_id_may_have(client: TestClient) -> None:
    body = problem(client.post("/v1/dedup", json={"ids": ["a", "名"]}), 422, "invalid_request")
    assert body["detail"] == "/ids/1: may have A-Z a-z 0-9 . _ : - only, and not dots alone"


def test_who_is_given_twice_is_named_in_the_detail(client: TestClient) -> None:
    ids = ["a", "b", "a", "b", "b", "b"]
    body = problem(client.post("/v1/dedup", json={"ids": ids}), 422, "invalid_request")
    assert body["detail"] == (
        "/ids/2: streamer 'a' is already at /ids/0; /ids/3: streamer 'b' is already at /ids/1; "
        "/ids/4: streamer 'b' is already at /ids/1 (and 1 more); give each streamer once"
    )


def test_a_group_that_this_service_never_makes_is_told_what_they_are_like(
    client: TestClient,
) -> None:
    body = problem(client.get("/v1/duplicates/dup-zz"), 422, "invalid_request")
    assert body["detail"] == "group_id: must be 'dup-' and 24 hex digits, as this service gave it"
