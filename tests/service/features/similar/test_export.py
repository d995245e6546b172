"""Everyone who reaches a score, in one answer: equal to all pages of the same question."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.service.conftest import put_all, wait_until_visible


@pytest.fixture(scope="module")
def client(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service with 18 streamers, whom no test changes."""
    tags = ("gaming", "music", "travel")
    profiles = (
        {
            "streamer_id": f"s{i}",
            "tags": ["cooking", tags[i % 3]],
            "bio": "soup " * (i % 4),
            "language": "zh",
        }
        for i in range(18)
    )
    settings = Settings(bundle=bundle, data_dir=tmp_path_factory.mktemp("data"))
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        wait_until_visible(client, put_all(client, profiles))
        yield client


def exported(client: TestClient, body: dict[str, Any]) -> tuple[list[dict[str, Any]], Any]:
    answer = client.post("/v1/similar/export", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    *hits, last = [json.loads(line) for line in answer.text.splitlines()]
    return hits, last


@pytest.mark.slow
@pytest.mark.parametrize("least", [-1.0, 0.3, 0.9, 1.0])
def test_the_same_as_all_pages(client: TestClient, least: float) -> None:
    body = {"positive": [{"streamer_id": "s4"}, {"streamer_id": "s5"}], "min_score": least}
    hits, last = exported(client, body)
    page = client.post("/v1/similar", json={**body, "k": 1000, "pages": True}).json()
    for hit in page["hits"]:
        del hit["reasons"]
    assert hits == page["hits"]
    assert len(hits) == last["reached"] == page["reached"]
    assert last["complete"]
    assert last["index_sequence"] == page["index_sequence"]
    assert last["model_version"] == page["model_version"]


@pytest.mark.slow
def test_more_than_are_sent_at_a_time(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.features.similar.endpoints.EXPORTED_AT_ONCE", 7)
    hits, last = exported(client, {"positive": [{"streamer_id": "s4"}], "min_score": -1})
    assert [hit["rank"] for hit in hits] == list(range(1, 18))
    assert last["reached"] == 17


@pytest.mark.slow
def test_a_precision_says_which_score_it_came_to(client: TestClient) -> None:
    body = {"positive": [{"streamer_id": "s4"}], "min_precision": 0.5}
    hits, last = exported(client, body)
    asked = client.post("/v1/similar", json={**body, "k": 1000}).json()
    assert last["threshold"] == asked["threshold"]
    assert [hit["streamer_id"] for hit in hits] == [hit["streamer_id"] for hit in asked["hits"]]


@pytest.mark.slow
def test_nobody_is_an_answer_too(client: TestClient) -> None:
    wanted = {"must": [{"field": "language", "any": ["fr"]}]}
    body = {"positive": [{"streamer_id": "s4"}], "min_score": 0.5, "filter": wanted}
    hits, last = exported(client, body)
    assert hits == []
    assert last["reached"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"positive": [{"streamer_id": "s4"}]}, 422, ""),
        ({"positive": [{"streamer_id": "s4"}], "min_score": 0.5, "k": 3}, 422, "/k"),
        ({"positive": [{"streamer_id": "s4"}], "min_score": 0.5, "min_precision": 0.5}, 422, ""),
        ({"positive": [{"streamer_id": "nobody"}], "min_score": 0}, 404, "/positive/0/streamer_id"),
    ],
)
def test_errors_come_before_the_first_line(
    client: TestClient, body: dict[str, Any], status: int, pointer: str
) -> None:
    answer = client.post("/v1/similar/export", json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
