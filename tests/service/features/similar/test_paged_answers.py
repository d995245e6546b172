"""Everyone who reaches a score, page by page: equal to brute force at the question's moment."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.bundles import DIM, TOPICS
from tests.service.conftest import put

WORDS = [word for text in TOPICS.values() for word in text.split()]


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[tuple]:
    """A service with 60 streamers, and their vectors; every fourth is someone's copy."""
    settings = Settings(bundle=bundle, data_dir=tmp_path_factory.mktemp("data"))
    found: dict[str, np.ndarray] = {}
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        for i in range(60):
            bio = " ".join(WORDS[((i - i % 4 // 3) * j) % len(WORDS)] for j in range(1, 7))
            put(client, f"s{i:02d}", bio=bio, language="zh" if i % 2 else "en")
            answer = client.get(f"/v1/streamers/s{i:02d}/embedding").json()
            found[f"s{i:02d}"] = np.array(answer["embedding"])
        yield client, found


def all_pages(client: TestClient, first: dict[str, Any]) -> list[dict[str, Any]]:
    pages = [first]
    while pages[-1]["next_cursor"] is not None:
        answer = client.get("/v1/similar", params={"cursor": pages[-1]["next_cursor"]})
        answer.raise_for_status()
        pages.append(answer.json())
    return pages


def brute(found: dict[str, np.ndarray], query: np.ndarray, least: float) -> list[str]:
    scores = {name: float(np.float32(vector @ query)) for name, vector in found.items()}
    kept = [name for name, score in scores.items() if score >= least]
    return sorted(kept, key=lambda name: (-round(scores[name], 5), name))


def last(client: TestClient) -> int:
    return put(client, "zz", language="en")  # it shows nothing, so it has no vector


@pytest.mark.slow
@pytest.mark.parametrize(
    ("least", "k"),
    [(-1.0, 7), (-1.0, 60), (-1.0, 1000), (0.1, 7), (0.3, 1), (0.3, 60), (0.9, 1), (1.0, 7)],
)
def test_equal_to_brute_force(vectors: tuple, least: float, k: int) -> None:
    client, found = vectors
    query = found["s05"] + 0.5 * found["s11"]
    query = query / np.linalg.norm(query)
    body = {
        "positive": [{"vector": query.tolist()}],
        "min_score": least,
        "k": k,
        "pages": True,
        "after_sequence": last(client),
    }
    pages = all_pages(client, client.post("/v1/similar", json=body).json())
    hits = [hit for page in pages for hit in page["hits"]]
    expected = brute(found, query, least)
    assert [hit["streamer_id"] for hit in hits] == expected
    assert [hit["rank"] for hit in hits] == list(range(1, len(expected) + 1))
    assert all(page["complete"] and page["exact"] for page in pages)
    assert {page["reached"] for page in pages} == {len(expected)}
    assert all(len(page["hits"]) == k for page in pages[:-1])


def test_filters_and_seeds_count_as_ever(vectors: tuple) -> None:
    client, found = vectors
    body = {
        "positive": [{"streamer_id": "s05"}],
        "filter": {"must": [{"field": "language", "any": ["zh"]}]},
        "min_score": -1,
        "k": 10,
        "pages": True,
        "after_sequence": last(client),
    }
    pages = all_pages(client, client.post("/v1/similar", json=body).json())
    names = {hit["streamer_id"] for page in pages for hit in page["hits"]}
    assert names == {name for name in found if int(name[1:]) % 2} - {"s05"}


def test_pages_are_of_the_moment_of_the_question(vectors: tuple) -> None:
    client, found = vectors
    body = {
        "positive": [{"vector": found["s08"].tolist()}],
        "min_score": -1,
        "k": 15,
        "pages": True,
        "after_sequence": last(client),
    }
    first = client.post("/v1/similar", json=body).json()
    order = brute(found, found["s08"], -1)
    put(client, "new", bio=" ".join(WORDS[:6]))
    put(client, order[20], bio="something else entirely " + WORDS[3])
    sequence = client.delete(f"/v1/streamers/{order[30]}").json()["sequence"]
    client.post(
        "/v1/similar", json={"positive": [{"vector": [1.0] * DIM}], "after_sequence": sequence}
    )
    pages = all_pages(client, first)
    hits = [hit["streamer_id"] for page in pages for hit in page["hits"]]
    assert hits == [name for name in order if name != order[30]]  # who is gone is gone at once
    assert {page["index_sequence"] for page in pages} == {first["index_sequence"]}
    client.delete("/v1/streamers/new")
    found.pop(order[30])
    found[order[20]] = np.array(
        client.get(f"/v1/streamers/{order[20]}/embedding").json()["embedding"]
    )


def test_what_can_not_be_asked_for(vectors: tuple) -> None:
    client, _ = vectors
    seed = {"positive": [{"streamer_id": "s01"}], "pages": True}
    for body in (seed, {**seed, "min_score": 0.5, "explain": True}):
        answer = client.post("/v1/similar", json=body)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/pages"
    answer = client.get("/v1/similar", params={"cursor": "nothing.10"})
    assert answer.status_code == 410
    assert answer.json()["code"] == "cursor_expired"
    assert client.get("/v1/similar").status_code == 422
