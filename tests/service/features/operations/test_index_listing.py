"""A faster index takes over by itself, and answers say what they are."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.engine.replica.maintenance import IndexMaintenance
from service.errors import StartupError
from service.settings import Index, Settings
from tests.bundles import TOPICS
from tests.service.data_sets import NDJSON
from tests.service.process import wait_until

STREAMERS = 150


@pytest.fixture
def start(bundle: Path, tmp_path: Path) -> Iterator[Callable[[str], TestClient]]:
    running: list[TestClient] = []

    def begin(kind: str) -> TestClient:
        settings = Settings(
            bundle=bundle, data_dir=tmp_path, index=Index(kind=kind, from_rows=100, recall=0.9)
        )
        running.append(TestClient(create_app(settings), base_url="http://localhost").__enter__())
        return running[-1]

    yield begin
    for client in running:
        client.__exit__(None, None, None)


def fill(client: TestClient) -> int:
    words = [word for text in TOPICS.values() for word in text.split()]
    profiles = [
        {"streamer_id": f"s{i}", "bio": " ".join(words[(i * j) % len(words)] for j in range(1, 9))}
        for i in range(1, STREAMERS + 1)
    ]
    body = "\n".join(map(json.dumps, profiles))
    answer = client.post("/v1/streamers:bulk", content=body, headers=NDJSON)
    return max(json.loads(line).get("sequence", 0) for line in answer.text.splitlines())


def index_of(client: TestClient) -> dict:
    return client.get("/readyz").json()["index"]


def wait_for(client: TestClient, kind: str) -> dict:
    wait_until(lambda: index_of(client)["kind"] == kind, f"the index is {kind}")
    return index_of(client)


def test_a_faster_index_takes_over_and_answers_say_so(start) -> None:
    client = start("HNSW16")
    sequence = fill(client)
    asked = {"k": 10, "after_sequence": sequence}
    found = wait_for(client, "HNSW16")
    assert found["recall"] >= 0.9
    assert found["refused"] is None
    later = client.get("/v1/streamers/s1/similar", params=asked).json()
    exact = client.get("/v1/streamers/s1/similar", params={**asked, "exact": True}).json()
    assert [later["exact"], exact["exact"]] == [False, True]
    assert {h["streamer_id"] for h in later["hits"]} <= {f"s{i}" for i in range(STREAMERS + 1)}
    seed = {"positive": [{"streamer_id": "s1"}], "exact": True}
    assert client.post("/v1/similar", json=seed).json()["exact"] is True
    assert client.post("/v1/similar", json={**seed, "exact": False}).json()["exact"] is False
    client.delete("/v1/streamers/" + later["hits"][0]["streamer_id"])
    written = client.put("/v1/streamers/s1000", json={"bio": "kitchen"}).json()["sequence"]
    after = client.get(
        "/v1/streamers/s1/similar", params={"k": 50, "after_sequence": written}
    ).json()
    assert later["hits"][0]["streamer_id"] not in {h["streamer_id"] for h in after["hits"]}
    assert len(after["hits"]) == 50
    assert index_of(client)["scanned"] >= 1


def test_exact_stays_exact(start, monkeypatch: pytest.MonkeyPatch) -> None:
    save, looks = IndexMaintenance._save, list[int]()

    def counted(self: IndexMaintenance, is_stopped: Callable[[], bool]) -> None:
        looks.append(self._follower.index.count)
        save(self, is_stopped)

    monkeypatch.setattr(IndexMaintenance, "_save", counted)  # it ends each look for work
    client = start("exact")
    fill(client)
    wait_until(lambda: looks.count(STREAMERS) >= 2, "somebody looked whether to build another one")
    assert index_of(client)["kind"] == "exact"


def test_a_kind_that_faiss_does_not_know_is_refused_at_the_start(start) -> None:
    with pytest.raises(
        StartupError, match=r"STREAMER_INDEX__KIND.*'HSNW32'.*or take auto, or exact"
    ):
        start("HSNW32")
