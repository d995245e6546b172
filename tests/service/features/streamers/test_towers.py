"""What towers see is in every answer, and nothing is encoded twice."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.settings import Settings
from tests.bundles import write_bundle
from tests.service.conftest import put, wait_until_visible
from tests.service.data_sets import NDJSON
from tests.service.towers import Counts, titles

TOWER = "test-text"


@pytest.fixture(scope="module")
def tower_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("towers") / "b"
    write_bundle(folder, tower=True)
    return folder


@pytest.fixture
def client(tower_bundle: Path, tmp_path: Path) -> Iterator[TestClient]:
    """A service of its own: its counters begin at nothing, and it remembers no piece."""
    settings = Settings(bundle=tower_bundle, data_dir=tmp_path / "data")
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client


@pytest.fixture
def counts(client: TestClient) -> Counts:
    return Counts(client)


def vector(client: TestClient, streamer_id: str) -> np.ndarray:
    return np.array(client.get(f"/v1/streamers/{streamer_id}/embedding").json()["embedding"])


def test_what_a_tower_reads_is_in_the_vector(client: TestClient, counts: Counts) -> None:
    put(client, "a", bio="boss")
    put(client, "b", bio="BOSS")
    put(client, "c", bio="boss zzz")
    last = put(client, "d", tags=["guitar"])  # tags are not for this tower
    assert counts() == {"text": 3}
    wait_until_visible(client, last)
    assert vector(client, "a") @ vector(client, "b") == pytest.approx(1, abs=0.01)
    found = client.get("/v1/streamers/a/similar").json()["hits"]
    assert [hit["streamer_id"] for hit in found[:2]] == ["b", "c"]


def test_a_change_encodes_what_changed(client: TestClient, counts: Counts) -> None:
    put(client, "a", bio="boss", videos=titles("cooking", "noodles", "cooking"))
    assert counts() == {"text": 3}  # what is shown twice is read once
    client.patch("/v1/streamers/a", json={"bio": "music"}).raise_for_status()
    assert counts() == {"text": 1}
    client.patch("/v1/streamers/a", json={"attributes": {"x": 1}}).raise_for_status()
    put(client, "a", bio="music", videos=titles("noodles", "cooking"))
    assert counts() == {}
    changed = vector(client, "a")
    put(client, "fresh", bio="music", videos=titles("noodles", "cooking"))
    np.testing.assert_allclose(vector(client, "fresh"), changed, atol=5e-5)


def test_a_piece_that_came_before_is_not_encoded_again(client: TestClient, counts: Counts) -> None:
    put(client, "a", bio="follow for music")
    other = {"streamer_id": "other", "bio": "noodles", "videos": titles("noodles")}
    lines = [*({"streamer_id": f"s{i}", "bio": "follow for music"} for i in range(10)), other]
    answer = client.post(
        "/v1/streamers:bulk", content="\n".join(map(json.dumps, lines)), headers=NDJSON
    )
    assert [json.loads(line)["outcome"] for line in answer.text.splitlines()] == ["created"] * 11
    assert counts() == {"text": 2}
    np.testing.assert_allclose(vector(client, "s3"), vector(client, "a"), atol=5e-5)


def test_questions_read_profiles_by_the_same_towers(client: TestClient, counts: Counts) -> None:
    put(client, "a", bio="boss")
    last = put(client, "b", bio="noodles")
    assert counts() == {"text": 2}
    wait_until_visible(client, last)
    profile = {"bio": "BOSS", "videos": titles("gaming")}
    seeds = {"positive": [{"profile": profile}], "k": 2}
    found = client.post("/v1/similar", json=seeds).json()
    assert [hit["streamer_id"] for hit in found["hits"]] == ["a", "b"]
    assert counts() == {"text": 2}
    placed = client.post("/v1/cold-start", json={"profile": profile}).json()
    assert placed["modalities"]["bio"] == "used"
    client.post("/v1/cold-start", json={"streamer_id": "a"}).raise_for_status()
    people = [
        {"streamer_id": str(i), "bio": bio} for i, bio in enumerate(("boss", "boss", "unheard"))
    ]
    copies = client.post("/v1/dedup", json={"mode": "clusters", "profiles": people}).json()
    assert [c["representative"] for c in copies["clusters"]] == ["0"]
    assert copies["unique"] == ["2"]
    assert counts() == {"text": 1}  # unheard


def test_a_bad_line_names_its_part_and_stops_nothing(client: TestClient) -> None:
    bad = {"streamer_id": "bad", "bio": "boss", "avatar": {"vector": [1.0], "space": TOWER}}
    lines = [{"streamer_id": "a", "bio": "boss"}, bad, {"streamer_id": "b", "bio": "music"}]
    answer = client.post(
        "/v1/streamers:bulk", content="\n".join(map(json.dumps, lines)), headers=NDJSON
    )
    first, second, third = map(json.loads, answer.text.splitlines())
    assert (first["outcome"], third["outcome"]) == ("created", "created")
    assert second["streamer_id"] == "bad"
    assert second["error"]["errors"][0]["pointer"] == "/avatar/vector"
