"""Profiles that the model knows little of get no promise; those that it knows keep theirs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.bundles import CALIBRATION, DIM, TOPICS, curve, write_bundle
from tests.service.conftest import put

LEAST = 0.4
COVERED = curve(1, None, (0.875, 0.95, 0.9), (0.5, 0.7, 0.6)).model_copy(
    update={"least_coverage": LEAST}
)
CALIBRATED = CALIBRATION.model_copy(
    update={"embedding": CALIBRATION.embedding.model_copy(update={"by_coverage": [COVERED]})}
)
OUTSIDERS = {
    "another domain": {
        "bio": "lecturer in physics: quantum field theory and a soup of quarks",
        "tags": ["university", "physics"],
        "language": "en",
    },
    "another script": {"bio": "лекции по физике, guitar", "tags": ["физика"]},
    "new slang": {"name": "sigma", "bio": "rizz gyatt skibidi fanum tax raid", "tags": ["cap"]},
    "unknown Chinese": {"bio": "量子力学讲师每周直播讲解相对论 美食", "tags": ["物理"]},
}
INSIDER = {"bio": TOPICS["music"], "tags": ["music", "guitar"], "name": "sigma"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder: Path = tmp_path_factory.mktemp("covered")
    write_bundle(folder / "bundle", calibration=CALIBRATED)
    settings = Settings(bundle=folder / "bundle", data_dir=folder / "data")
    with TestClient(create_app(settings), base_url="http://localhost") as running:
        for topic, words in TOPICS.items():
            for i in range(3):
                put(running, f"{topic}-{i}", tags=[topic], bio=" ".join(words.split()[i:]))
        put(running, "established-0", tags=["music"])
        yield running


def post(client: TestClient, path: str, **query: Any) -> dict[str, Any]:
    answer = client.post(path, json=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def written(client: TestClient, profile: dict[str, Any]) -> float:
    answer = client.put("/v1/streamers/asked", json=profile)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()["coverage"]


@pytest.mark.parametrize("profile", OUTSIDERS.values(), ids=list(OUTSIDERS))
def test_an_outsider_gets_hits_and_no_promise(client: TestClient, profile: dict[str, Any]) -> None:
    coverage = written(client, profile)
    assert 0 < coverage < LEAST
    answers = [client.get("/v1/streamers/asked/similar").json()]
    answers += [client.get("/v1/streamers/asked/similar?exact=true").json()]
    for seed in ({"profile": profile}, {"streamer_id": "asked"}):
        answers.append(post(client, "/v1/similar", positive=[seed]))
    for answer in answers:
        assert answer["coverage"] == coverage
        assert {hit["precision"] for hit in answer["hits"]} == {None}
        (warning,) = answer["warnings"]
        assert warning.startswith("coverage: ")
        assert f"below {LEAST}" in warning


@pytest.mark.parametrize("profile", OUTSIDERS.values(), ids=list(OUTSIDERS))
def test_no_hit_of_an_outsider_reaches_a_precision(
    client: TestClient, profile: dict[str, Any]
) -> None:
    written(client, profile)
    address = client.get("/v1/streamers/asked/similar?min_precision=0.4").json()
    query = {"positive": [{"profile": profile}], "min_precision": 0.4}
    for answer in (
        address,
        post(client, "/v1/similar", **query),
        post(client, "/v1/similar", **query, pages=True),
        post(client, "/v1/similar", **query, explain=True),
    ):
        assert answer["hits"] == []
        assert answer["reached"] == 0
        assert answer["complete"] is True
        assert answer["threshold"] is None
        assert "coverage" in answer["warnings"][0]
    lines = client.post("/v1/similar/export", json=query).text.splitlines()
    (summary,) = map(json.loads, lines)
    assert summary["reached"] == 0
    assert "coverage" in summary["warnings"][0]
    assert 0 < summary["coverage"] < LEAST


def test_a_stranger_among_several_seeds_takes_the_promise_away(client: TestClient) -> None:
    seeds = [{"profile": INSIDER}, {"profile": OUTSIDERS["another domain"]}]
    answer = post(client, "/v1/similar", positive=seeds, strategy="best_score", min_precision=0.4)
    assert answer["hits"] == []
    assert answer["coverage"] < LEAST


def test_an_insider_keeps_its_promise(client: TestClient) -> None:
    coverage = written(client, INSIDER)
    assert LEAST < coverage < 1  # its name is unknown
    for seed in ({"profile": INSIDER}, {"streamer_id": "asked"}):
        answer = post(client, "/v1/similar", positive=[seed], min_precision=0.6)
        assert answer["coverage"] == coverage
        assert answer["warnings"] == []
        assert answer["hits"]
        assert all(hit["precision"] >= 0.6 for hit in answer["hits"])
    # Both curves have to promise it: that of all does from 0.5 on, that by coverage from 0.875.
    answer = post(client, "/v1/similar", positive=[{"profile": INSIDER}], min_precision=0.65)
    assert answer["threshold"]["min_score"] == 0.875
    assert answer["threshold"]["measured_on"] == "coverage of 0.4 and more"


def test_nothing_is_known_of_the_coverage_of_a_vector(client: TestClient) -> None:
    answer = post(client, "/v1/similar", positive=[{"vector": [1.0] * DIM}], min_precision=0.4)
    assert answer["coverage"] is None
    assert answer["warnings"] == []
    assert answer["threshold"]["measured_on"] == "all streamers"


@pytest.mark.parametrize("profile", OUTSIDERS.values(), ids=list(OUTSIDERS))
def test_a_cold_start_does_not_predict_an_outsider(
    client: TestClient, profile: dict[str, Any]
) -> None:
    answer = post(client, "/v1/cold-start", profile=profile)
    assert answer["fallback"] == {"used": True, "reason": "low_coverage"}
    assert 0 < answer["coverage"] < LEAST
    assert answer["id_embedding"]["confidence"] == 0
    assert answer["id_embedding"]["method"] == "centroid"
    nothing = post(client, "/v1/cold-start", profile={"bio": "кварк"})
    assert answer["id_embedding"] == nothing["id_embedding"]
    assert nothing["coverage"] == 0


def test_a_cold_start_predicts_an_insider(client: TestClient) -> None:
    answer = post(client, "/v1/cold-start", profile=INSIDER)
    assert answer["fallback"] == {"used": False, "reason": None}
    assert answer["id_embedding"]["method"] == "predicted"
    assert answer["coverage"] > LEAST


def test_each_line_of_a_bulk_tells_its_coverage(client: TestClient) -> None:
    profiles = [{"streamer_id": "asked", **p} for p in (INSIDER, OUTSIDERS["another script"])]
    body = "\n".join(json.dumps(profile) for profile in profiles)
    answer = client.post(
        "/v1/streamers:bulk", content=body, headers={"content-type": "application/x-ndjson"}
    )
    inside, outside = (json.loads(line)["coverage"] for line in answer.text.splitlines())
    assert inside > LEAST > outside


def test_a_bundle_of_before_coverage_was_measured_promises_as_it_did(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle")
    settings = Settings(bundle=tmp_path / "bundle", data_dir=tmp_path / "data")
    outsider = OUTSIDERS["another domain"]
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        put(client, "cook", bio=TOPICS["cooking"])
        answer = post(client, "/v1/similar", positive=[{"profile": outsider}], min_precision=0.4)
        assert answer["threshold"]["min_score"] == 0.0
        assert answer["warnings"] == []
        assert 0 < answer["coverage"] < LEAST
        cold = post(client, "/v1/cold-start", profile=outsider)
        assert cold["id_embedding"]["method"] == "predicted"


def test_nobody_on_a_list_is_within_a_stop_that_is_not_promised(client: TestClient) -> None:
    seeds = [{"profile": OUTSIDERS["new slang"]}]
    stop = {"at_precision": 0.5, "mark_only": True}
    answer = post(client, "/v1/lists:preview", positive=seeds, stop=stop)
    assert (answer["stop"]["min_score"], answer["stop"]["rows_within"]) == (None, 0)
    assert answer["rows"]
    assert all(row["beyond_stop"] for row in answer["rows"])
