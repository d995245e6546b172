"""Similar, cold start and dedup over HTTP."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.index.base import Hit, Matches, SearchResult
from service.index.faiss.index import FaissIndex
from service.index.query import Query
from service.settings import Settings
from tests.bundles import ESTABLISHED_IDS, ID_DIM, TOPICS
from tests.service.conftest import put, put_all

Topics = tuple[TestClient, int]


def fill(client: TestClient, per_topic: int = 5) -> int:
    """Streamers of every topic, told apart by their words; the last sequence number."""
    profiles: list[dict[str, Any]] = []
    for topic, words in TOPICS.items():
        parts = words.split()
        profiles += (
            {
                "streamer_id": f"{topic}-{i}",
                "tags": [topic, parts[i % len(parts)]],
                "bio": " ".join(p for j, p in enumerate(parts) if j != i),
                "language": "zh" if i % 2 else "en",
                "category": topic,
                "attributes": {"views": i * 100, "partner": i == 0},
            }
            for i in range(per_topic)
        )
    return put_all(client, profiles)


@pytest.fixture(scope="module")
def topics(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Topics]:
    """A service with streamers of every topic, for tests that write nothing."""
    settings = Settings(bundle=bundle, data_dir=tmp_path_factory.mktemp("topics"))
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client, fill(client)


def ids(answer) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [hit["streamer_id"] for hit in answer.json()["hits"]]


def test_the_topic_comes_first_and_the_seed_not_at_all(topics: Topics) -> None:
    client, sequence = topics
    answer = client.get(
        "/v1/streamers/music-0/similar",
        params={"k": 4, "after_sequence": sequence, "explain": True},
    )
    assert {i.split("-")[0] for i in ids(answer)} == {"music"}
    assert "music-0" not in ids(answer)
    body = answer.json()
    assert body["complete"] is True
    assert [h["rank"] for h in body["hits"]] == [1, 2, 3, 4]
    scores = [h["score"] for h in body["hits"]]
    assert scores == sorted(scores, reverse=True)
    reasons = body["hits"][0]["reasons"]
    assert reasons["nearest_seed"] == "music-0"
    assert "music" in reasons["shared"]["tags"]
    assert -1 <= reasons["content_similarity"] <= 1
    assert body["index_sequence"] >= sequence


def test_profiles_and_vectors_are_seeds_too(topics: Topics) -> None:
    client, sequence = topics
    query = {"k": 3, "after_sequence": sequence}
    by_profile = client.post(
        "/v1/similar", json={**query, "positive": [{"profile": {"tags": ["gaming"]}}]}
    )
    assert {i.split("-")[0] for i in ids(by_profile)} == {"gaming"}
    vector = client.get("/v1/streamers/travel-1/embedding").json()["embedding"]
    scaled = [100 * x for x in vector]
    by_vector = client.post("/v1/similar", json={**query, "positive": [{"vector": scaled}]})
    assert ids(by_vector)[0] == "travel-1"  # a vector is not a stored seed: nothing is left out


def embedding(client: TestClient, streamer_id: str) -> np.ndarray:
    return np.array(client.get(f"/v1/streamers/{streamer_id}/embedding").json()["embedding"])


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["average", "best_score", "sum"])
def test_strategies_score_as_their_definitions_say(topics: Topics, strategy: str) -> None:
    client, sequence = topics
    positive = {"music-0": 2.0, "travel-0": 1.0}
    negative = {"music-1": 1.0, "music-2": 3.0}
    answer = client.post(
        "/v1/similar",
        json={
            "positive": [{"streamer_id": s, "weight": w} for s, w in positive.items()],
            "negative": [{"streamer_id": s, "weight": w} for s, w in negative.items()],
            "strategy": strategy,
            "k": 1000,
            "after_sequence": sequence,
        },
    )
    wanted = [(w, embedding(client, s)) for s, w in positive.items()]
    unwanted = [(w, embedding(client, s)) for s, w in negative.items()]
    for hit in answer.json()["hits"]:
        e = embedding(client, hit["streamer_id"])
        if strategy == "average":
            expected = e @ unit(np.sum([w * v for w, v in wanted], axis=0))
            expected = (expected - e @ unit(np.sum([w * v for w, v in unwanted], axis=0))) / 2
        elif strategy == "sum":
            expected = sum(w * (e @ v) for w, v in wanted) - sum(w * (e @ v) for w, v in unwanted)
            expected /= 7
        else:
            best, worst = max(e @ v for _, v in wanted), max(e @ v for _, v in unwanted)
            expected = best if best >= worst else -worst
        assert hit["score"] == pytest.approx(expected, abs=1e-5)
    assert len(ids(answer)) == 16
    assert not {*positive, *negative} & set(ids(answer))


def test_unwanted_seeds_push_away(topics: Topics) -> None:
    client, sequence = topics
    query = {
        "positive": [{"streamer_id": "music-0"}, {"streamer_id": "travel-0"}],
        "k": 4,
        "after_sequence": sequence,
    }
    assert any(i.startswith("music") for i in ids(client.post("/v1/similar", json=query)))
    query["negative"] = [{"streamer_id": "music-1"}, {"streamer_id": "music-2"}]
    assert {i.split("-")[0] for i in ids(client.post("/v1/similar", json=query))} == {"travel"}


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["average", "best_score", "sum"])
def test_opposite_seeds_never_make_an_empty_answer(topics: Topics, strategy: str) -> None:
    client, sequence = topics
    vector = client.get("/v1/streamers/music-0/embedding").json()["embedding"]
    answer = client.post(
        "/v1/similar",
        json={
            "positive": [{"vector": vector}, {"vector": [-x for x in vector]}],
            "strategy": strategy,
            "k": 5,
            "after_sequence": sequence,
        },
    )
    assert len(ids(answer)) == 5


def test_weights_decide_between_seeds(topics: Topics) -> None:
    client, sequence = topics
    for heavy, light in (("music", "travel"), ("travel", "music")):
        answer = client.post(
            "/v1/similar",
            json={
                "positive": [
                    {"streamer_id": f"{heavy}-0", "weight": 9},
                    {"streamer_id": f"{light}-0", "weight": 1},
                ],
                "k": 4,
                "after_sequence": sequence,
            },
        )
        assert {i.split("-")[0] for i in ids(answer)} == {heavy}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"must": [{"field": "language", "any": ["zh"]}]}, {1, 3}),
        ({"must_not": [{"field": "language", "any": ["zh"]}]}, {2, 4}),
        ({"must": [{"field": "views", "gte": 200, "lt": 400}]}, {2, 3}),
        ({"must": [{"field": "attributes.views", "gt": 300}]}, {4}),
        ({"must": [{"field": "partner", "any": [True]}]}, set()),
        ({"must": [{"field": "partner", "any": [False]}]}, {1, 2, 3, 4}),
        ({"must": [{"field": "partner", "any": [0]}]}, set()),
        ({"must": [{"field": "tags", "all": ["music", "vocal"]}]}, {1}),
        ({"must": [{"field": "category", "any": ["music"]}, {"field": "views", "lte": 100}]}, {1}),
        ({"must": [{"field": "nothing", "gte": 0}]}, set()),
    ],
)
def test_filters_never_starve_an_answer(
    topics: Topics, condition: dict, expected: set[int]
) -> None:
    client, sequence = topics
    answer = client.post(
        "/v1/similar",
        json={
            "positive": [{"streamer_id": "music-0"}],
            "k": 1000,
            "filter": condition,
            "after_sequence": sequence,
        },
    )
    found = {i for i in ids(answer) if i.startswith("music")}
    assert found == {f"music-{i}" for i in expected}


def test_a_threshold_is_never_cut_without_a_word(topics: Topics) -> None:
    client, sequence = topics
    query = {"positive": [{"streamer_id": "music-0"}], "min_score": -1, "after_sequence": sequence}
    cut = client.post("/v1/similar", json={**query, "k": 3}).json()
    assert cut["complete"] is False
    assert "19 streamers reach min_score" in cut["incomplete_because"]
    whole = client.post("/v1/similar", json={**query, "k": 19}).json()
    assert whole["complete"] is True
    limit = whole["hits"][4]["score"]
    above = client.post("/v1/similar", json={**query, "k": 19, "min_score": limit}).json()
    assert [h["streamer_id"] for h in above["hits"]] == [
        h["streamer_id"] for h in whole["hits"][:5]
    ]


def test_rounding_takes_no_score_beyond_1(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    client, sequence = topics
    search, matches, more = FaissIndex.search, FaissIndex.matches, 1.0000001  # of equal vectors

    async def rounded(self: FaissIndex, query: Query) -> SearchResult:
        found = await search(self, query)
        return found._replace(hits=[Hit(hit.streamer_id, more) for hit in found.hits])

    async def all_rounded(self: FaissIndex, query: Query) -> Matches:
        found = await matches(self, query)
        return replace(found, scores=np.full_like(found.scores, more))

    monkeypatch.setattr(FaissIndex, "search", rounded)
    monkeypatch.setattr(FaissIndex, "matches", all_rounded)
    params = {"k": 2, "after_sequence": sequence}
    answers = [client.get("/v1/streamers/music-0/similar", params=params)]
    query = {"positive": [{"streamer_id": "music-0"}], "k": 2}
    for how in ({"exact": True}, {"min_score": -1, "pages": True}):
        answers.append(client.post("/v1/similar", json={**query, **how}))
    for answer in answers:
        assert [hit["score"] for hit in answer.json()["hits"]] == [1, 1]


def test_an_update_and_a_delete_are_seen_by_the_next_query(client: TestClient) -> None:
    fill(client)
    sequence = put(client, "travel-4", tags=["music", "guitar"], bio="guitar vocal")
    params = {"k": 5, "after_sequence": sequence}
    assert "travel-4" in ids(client.get("/v1/streamers/music-0/similar", params=params))
    sequence = client.delete("/v1/streamers/travel-4").json()["sequence"]
    params = {"k": 100, "after_sequence": sequence}
    assert "travel-4" not in ids(client.get("/v1/streamers/music-0/similar", params=params))


def test_cold_start_answers_in_the_recommenders_space(client: TestClient) -> None:
    sequence = fill(client)
    for i, established in enumerate(ESTABLISHED_IDS):
        topic = list(TOPICS)[i % 4]
        sequence = put(client, established, tags=[topic], bio=TOPICS[topic])
    answer = client.post(
        "/v1/cold-start",
        json={"profile": {"tags": ["cooking"]}, "neighbours": 2, "after_sequence": sequence},
    ).json()
    assert {n["streamer_id"] for n in answer["neighbours"]} == {"established-0", "established-4"}
    assert abs(sum(n["weight"] for n in answer["neighbours"]) - 1) < 1e-6
    assert answer["id_embedding"]["space"] == "test-ids"
    assert answer["id_embedding"]["method"] == "predicted"
    assert len(answer["id_embedding"]["vector"]) == ID_DIM
    assert 0 <= answer["id_embedding"]["confidence"] <= 1
    assert answer["fallback"] == {"used": False, "reason": None}
    stored = client.post("/v1/cold-start", json={"streamer_id": "established-0"}).json()
    assert "established-0" not in {n["streamer_id"] for n in stored["neighbours"]}


def test_cold_start_says_when_content_is_too_thin(client: TestClient) -> None:
    answer = client.post("/v1/cold-start", json={"profile": {"bio": "欢迎关注"}}).json()
    assert answer["neighbours"] == []
    assert answer["fallback"] == {"used": True, "reason": "insufficient_content"}
    assert answer["id_embedding"]["method"] == "centroid"
    assert answer["id_embedding"]["confidence"] == 0
    assert answer["modalities"]["bio"] == "uninformative"
    alone = client.post("/v1/cold-start", json={"profile": {"tags": ["cooking"]}}).json()
    assert alone["fallback"] == {"used": True, "reason": "no_established_neighbours"}
    assert alone["id_embedding"]["method"] == "predicted"


def test_dedup_finds_copies_and_spreads_them(client: TestClient) -> None:
    fill(client, per_topic=2)
    copied = {"tags": ["music"], "bio": TOPICS["music"]}
    for i in range(3):
        sequence = put(client, f"copy-{i}", **copied)
    sequence = put(client, "empty")
    order = ["copy-0", "copy-1", "copy-2", "cooking-0", "gaming-0", "travel-0", "empty"]
    query = {"ids": order, "after_sequence": sequence}
    clusters = client.post("/v1/dedup", json=query).json()
    assert len(clusters["clusters"]) == 1
    assert clusters["clusters"][0]["representative"] == "copy-0"
    members = clusters["clusters"][0]["members"]
    assert [m["streamer_id"] for m in members] == ["copy-0", "copy-1", "copy-2"]
    assert all(m["score"] > 0.99 for m in members)
    assert clusters["unique"] == ["cooking-0", "gaming-0", "travel-0"]
    assert clusters["not_comparable"] == ["empty"]
    feed = client.post("/v1/dedup", json={**query, "mode": "feed", "window": 3}).json()
    assert sorted(feed["order"]) == sorted(order)
    assert feed["too_close"] == 0
    places = [i for i, s in enumerate(feed["order"]) if s.startswith("copy")]
    assert all(b - a >= 3 for a, b in pairwise(places))
    capped = client.post("/v1/dedup", json={**query, "mode": "feed", "max_per_cluster": 1}).json()
    assert capped["held_back"] == ["copy-1", "copy-2"]


def test_dedup_of_profiles_stores_nothing(client: TestClient) -> None:
    profiles = [
        {"streamer_id": "p1", "bio": TOPICS["music"]},
        {"streamer_id": "p2", "bio": TOPICS["music"] + " !!!"},
        {"streamer_id": "p3", "bio": TOPICS["travel"]},
    ]
    answer = client.post("/v1/dedup", json={"profiles": profiles}).json()
    assert [[m["streamer_id"] for m in c["members"]] for c in answer["clusters"]] == [["p1", "p2"]]
    assert client.get("/v1/streamers").json()["streamers"] == []


def test_probes_and_documentation(client: TestClient) -> None:
    assert client.get("/livez").json() == {"status": "ok"}
    assert client.get("/startupz").json()["status"] == "ok"
    ready = client.get("/readyz").json()
    assert ready["store"] == "embedded"
    assert ready["device"] == "cpu"
    page = client.get("/docs").text
    assert "http://" not in page
    assert "https://" not in page  # the page works without the internet


def test_the_same_streamer_is_not_wanted_and_unwanted(topics: Topics) -> None:
    """Everybody would score the same, and the answer be anybody."""
    client, _ = topics
    seed = {"streamer_id": "music-1"}
    answer = client.post("/v1/similar", json={"positive": [seed], "negative": [seed]})
    assert answer.status_code == 422, answer.text
    assert [e["pointer"] for e in answer.json()["errors"]] == ["/negative/0/streamer_id"]
    vector = embedding(client, "music-1").tolist()
    for strategy, status in (("average", 422), ("sum", 422), ("best_score", 200)):
        asked = {"positive": [seed], "negative": [{"vector": vector}], "strategy": strategy}
        answer = client.post("/v1/similar", json=asked)
        assert answer.status_code == status, answer.text
        if status == 422:
            assert [e["pointer"] for e in answer.json()["errors"]] == ["/negative"]


@pytest.mark.slow
@pytest.mark.parametrize("by", ["streamer_id", "vector"])
def test_a_min_score_of_one_finds_copies(client: TestClient, by: str) -> None:
    """Embeddings are rounded when they are stored, and some are shorter than 1 then."""
    fill(client)
    shown = {
        name: client.get(f"/v1/streamers/{name}").raise_for_status().json()["profile"]
        for name in [f"{topic}-{i}" for topic in TOPICS for i in range(5)]
    }
    copies = [{**profile, "streamer_id": f"copy-{name}"} for name, profile in shown.items()]
    sequence = put_all(client, copies)
    for name in shown:
        seed = name if by == "streamer_id" else embedding(client, name).tolist()
        asked = {"min_score": 1, "explain": True, "after_sequence": sequence}
        found = client.post("/v1/similar", json={"positive": [{by: seed}], **asked})
        assert f"copy-{name}" in ids(found)
        (copy,) = [h for h in found.json()["hits"] if h["streamer_id"] == f"copy-{name}"]
        assert copy["score"] > 0.9999
        if by == "streamer_id":
            assert copy["reasons"]["content_similarity"] == pytest.approx(1, abs=1e-4)
