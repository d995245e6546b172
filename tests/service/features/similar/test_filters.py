"""Filters over HTTP: by id, and with fields that nobody has."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.service.conftest import put, wait_until_visible
from tests.service.http.test_bad_input import problem

SEED = {"positive": [{"streamer_id": "s0"}]}


@pytest.fixture
def filled(client: TestClient) -> TestClient:
    last = 0
    for i in range(8):
        last = put(client, f"s{i}", tags=["cooking"], bio="soup " * i, attributes={"followers": i})
    wait_until_visible(client, last)
    return client


def found(client: TestClient, conditions: dict[str, Any], **more: Any) -> set[str]:
    answer = client.post("/v1/similar", json={**SEED, "filter": conditions, **more})
    assert answer.status_code == 200, answer.text
    assert answer.json()["warnings"] == []
    return {hit["streamer_id"] for hit in answer.json()["hits"]}


@pytest.mark.parametrize("more", [{}, {"min_score": -1}, {"min_score": -1, "pages": True}])
def test_streamers_are_let_in_or_kept_out_by_their_ids(
    filled: TestClient, more: dict[str, Any]
) -> None:
    some = [{"field": "streamer_id", "any": ["s1", "s2", "nobody"]}]
    assert found(filled, {"must": some}, **more) == {"s1", "s2"}
    assert found(filled, {"must_not": some}, **more) == {"s3", "s4", "s5", "s6", "s7"}
    one = [{"field": "streamer_id", "all": ["s1"]}]
    assert found(filled, {"must": some, "must_not": one}, **more) == {"s2"}


def test_fields_that_no_streamer_has_are_named(filled: TestClient) -> None:
    unknown = {
        "must": [{"field": "followers", "gte": 2}],
        "must_not": [{"field": "follower", "any": [1]}, {"field": "category", "any": ["x"]}],
    }
    warnings = [
        "filter: no stored streamer has the field 'follower'",
        "filter: no stored streamer has the field 'category'",
    ]
    body = {**SEED, "filter": unknown, "min_score": -1}
    paged = {**body, "k": 2, "pages": True}
    for asked in ({**SEED, "filter": unknown}, body, paged):
        answer = filled.post("/v1/similar", json=asked).json()
        assert answer["warnings"] == warnings
        assert answer["hits"]
        if answer["next_cursor"]:
            following = filled.get("/v1/similar", params={"cursor": answer["next_cursor"]})
            assert following.json()["warnings"] == warnings
    exported = filled.post("/v1/similar/export", json=body).text.splitlines()
    assert json.loads(exported[-1])["warnings"] == warnings
    put(filled, "s8", tags=["cooking"], attributes={"follower": 2})
    wait_until_visible(filled, put(filled, "s9", tags=["cooking"], category="X"))
    warnings = ["filter: no stored streamer has \"x\" in the field 'category'"]
    assert filled.post("/v1/similar", json=body).json()["warnings"] == warnings
    wait_until_visible(filled, put(filled, "s9", tags=["cooking"], category="x"))
    assert filled.post("/v1/similar", json=body).json()["warnings"] == []


def test_of_many_values_that_no_streamer_has_ten_are_named(filled: TestClient) -> None:
    many = {"must": [{"field": "tags", "any": [*(f"n{i}" for i in range(12)), "cooking"]}]}
    answer = filled.post("/v1/similar", json={**SEED, "filter": many}).json()
    assert answer["hits"]
    assert len(answer["warnings"]) == 11
    assert answer["warnings"][9:] == [
        "filter: no stored streamer has \"n9\" in the field 'tags'",
        "filter: no stored streamer has 2 more of the values",
    ]


@pytest.mark.parametrize("strategy", ["average", "best_score", "sum"])
def test_weights_count_by_their_proportions(filled: TestClient, strategy: str) -> None:
    def asked(scale: float) -> list[dict[str, Any]]:
        body = {
            "positive": [{"streamer_id": f"s{i}", "weight": (i + 1) * scale} for i in range(3)],
            "negative": [{"streamer_id": "s3", "weight": 2 * scale}],
            "strategy": strategy,
        }
        return filled.post("/v1/similar", json=body).json()["hits"]

    for tiny in (1e-31, 1e-300):
        for hit, expected in zip(asked(tiny), asked(1.0), strict=True):
            assert hit["score"] == pytest.approx(expected["score"], abs=1e-6)


@pytest.mark.parametrize("condition", [{"field": "tags"}, {"field": "tags", "any": None}])
def test_a_condition_has_to_say_something(filled: TestClient, condition: dict[str, Any]) -> None:
    asked = {**SEED, "filter": {"must_not": [condition]}}
    answer = filled.post("/v1/similar", json=asked)
    (error,) = problem(answer, 422, "invalid_request")["errors"]
    assert error["pointer"] == "/filter/must_not/0"
    assert "any, all, gt" in error["detail"]


def test_whole_numbers_that_float64_can_not_tell_apart_are_bounds(client: TestClient) -> None:
    numbers = {f"s{i}": 2**53 + i for i in range(4)}
    for name, number in numbers.items():
        put(client, name, tags=["cooking"], attributes={"account": number})
    wait_until_visible(client, put(client, "seed", tags=["cooking"]))
    seed = {"positive": [{"streamer_id": "seed"}]}

    def within(**bounds: int) -> set[str]:
        return found(client, {"must": [{"field": "account", **bounds}]}, **seed)

    assert within(gt=2**53) == {"s1", "s2", "s3"}
    assert within(gte=2**53 + 1, lt=2**53 + 3) == {"s1", "s2"}
    assert within(lte=2**53 + 1) == {"s0", "s1"}
    for bound in ("1", True, 10**400):
        body = {**seed, "filter": {"must": [{"field": "account", "gt": bound}]}}
        wrong = problem(client.post("/v1/similar", json=body), 422, "invalid_request")
        assert [e["pointer"] for e in wrong["errors"]] == ["/filter/must/0/gt"]
        assert "number" in wrong["errors"][0]["detail"]
