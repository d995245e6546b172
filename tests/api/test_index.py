"""The index: approximate answers, its listing, rebuilds, and snapshots that outlive a process."""

import hashlib
import json
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Serve
from tests.support.api import Api
from tests.support.bundles import TOPICS
from tests.support.service import Service, wait_until

KIND = "IVF8,SQfp16"
WORDS = [word for text in TOPICS.values() for word in text.split()]
ROWS = 400

Vectors = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {
        "STREAMER_INDEX__KIND": KIND,
        "STREAMER_INDEX__FROM_ROWS": "100",
        "STREAMER_INDEX__RECALL": "0.7",
        "STREAMER_INDEX__FLOOR": "0",
    }


def profile(number: int) -> dict[str, Any]:
    """Six of the known words, and attributes to filter by."""
    words = np.random.default_rng(number).choice(WORDS, 6, replace=False)
    attributes = {"tenth": number % 10, "views": number}
    return {"streamer_id": f"s{number:04d}", "bio": " ".join(words), "attributes": attributes}


def index_of(api: Api) -> dict[str, Any]:
    return api.ok("GET", "/readyz")["index"]


def read(api: Api, names: Iterable[str]) -> Vectors:
    return {name: np.array(api.embedding(name)) for name in names}


@pytest.fixture(scope="module")
def vectors(api: Api) -> Vectors:
    """Streamers that are all in an approximate index, and their vectors."""
    api.write(profile(i) for i in range(ROWS))
    api.finished(api.ok("POST", "/v1/index:rebuild", status=202))
    return read(api, [f"s{i:04d}" for i in range(ROWS)])


def nearest(vectors: Vectors, seed: str, k: int) -> list[str]:
    scores = {name: float(vectors[name] @ vectors[seed]) for name in vectors if name != seed}
    return sorted(scores, key=lambda name: (-scores[name], name))[:k]


def similar(api: Api, seed: str, **params: Any) -> dict[str, Any]:
    return api.ok("GET", f"/v1/streamers/{seed}/similar", params=params)


def ids(answer: dict[str, Any]) -> list[str]:
    return [hit["streamer_id"] for hit in answer["hits"]]


def assert_scored(answer: dict[str, Any], vectors: Vectors, seed: str) -> None:
    """Nobody twice, best first, and each score is the cosine."""
    names, scores = ids(answer), [hit["score"] for hit in answer["hits"]]
    assert len(set(names)) == len(names)
    assert scores == sorted(scores, reverse=True)
    assert scores == pytest.approx([float(vectors[n] @ vectors[seed]) for n in names], abs=1e-4)


def assert_best(
    answer: dict[str, Any], vectors: Vectors, seed: str, k: int, among: Iterable[str] | None = None
) -> None:
    """All of the k best of some, whoever stands first of those that are equal but for rounding."""
    others = set(among or vectors) - {seed}
    assert set(ids(answer)) <= others
    assert_scored(answer, vectors, seed)
    best = sorted((float(vectors[name] @ vectors[seed]) for name in others), reverse=True)[:k]
    assert [hit["score"] for hit in answer["hits"]] == pytest.approx(best, abs=1e-4)
    assert answer["exact"] is True


def test_approximate_answers_are_nearly_those_of_brute_force(api: Api, vectors: Vectors) -> None:
    found = index_of(api)
    assert (found["kind"], found["refused"]) == (KIND, None)
    assert found["recall"] >= 0.7
    assert found["scanned"] < ROWS / 2
    hit = 0
    seeds = [f"s{i:04d}" for i in range(200, 240)]
    for seed in seeds:
        answer = similar(api, seed, k=10)
        assert answer["exact"] is False
        assert len(answer["hits"]) == 10
        assert_scored(answer, vectors, seed)
        assert seed not in ids(answer)
        hit += len({*nearest(vectors, seed, 10)} & {*ids(answer)})
        assert_best(similar(api, seed, k=10, exact=True), vectors, seed, 10)
    assert hit >= 0.7 * 10 * len(seeds)


@pytest.mark.parametrize(
    "query",
    [
        {"filter": {"must": [{"field": "tenth", "any": [3]}]}},
        {"filter": {"must_not": [{"field": "tenth", "any": [0, 1, 2, 4, 5, 6, 7, 8, 9]}]}},
        {"filter": {"must": [{"field": "tenth", "any": [3]}]}, "min_score": -1},
    ],
)
def test_filters_hold_and_are_answered_exactly(
    api: Api, vectors: Vectors, query: dict[str, Any]
) -> None:
    third = [f"s{i:04d}" for i in range(ROWS) if i % 10 == 3]
    for seed in ("s0300", "s0303"):
        body = {"positive": [{"streamer_id": seed}], "k": 30, **query}
        assert_best(api.ok("POST", "/v1/similar", body), vectors, seed, 30, third)


@pytest.mark.parametrize(
    ("bounds", "first", "end"),
    [
        ({"gte": 390}, 390, ROWS),
        ({"gt": 390}, 391, ROWS),
        ({"lte": 9}, 0, 10),
        ({"lt": 9}, 0, 9),
        ({"gt": 100, "lt": 104}, 101, 104),
        ({"any": [7.0]}, 7, 8),
    ],
)
def test_bounds_hold_of_a_number_that_differs_from_streamer_to_streamer(
    api: Api, vectors: Vectors, bounds: dict[str, Any], first: int, end: int
) -> None:
    wanted = {"must": [{"field": "views", **bounds}]}
    body = {"positive": [{"streamer_id": "s0300"}], "k": 30, "filter": wanted}
    found = [f"s{i:04d}" for i in range(first, end)]
    assert_best(api.ok("POST", "/v1/similar", body), vectors, "s0300", 30, found)


def test_many_hits_are_looked_for_among_all(api: Api, vectors: Vectors) -> None:
    assert_best(similar(api, "s0370", k=200), vectors, "s0370", 200)


def test_deletions_and_changes_are_seen_at_once(api: Api, vectors: Vectors) -> None:
    api.write([{**profile(i), "streamer_id": f"t{i}"} for i in range(320, 340)])
    mine = read(api, [f"t{i}" for i in range(320, 340)])
    seed = "s0320"
    assert "t320" in ids(similar(api, seed, k=5))  # it is the seed's copy
    gone = api.ok("DELETE", "/v1/streamers/t320")["sequence"]
    assert "t320" not in ids(similar(api, seed, k=50, after_sequence=gone))
    changed = {**profile(320), "streamer_id": "t321"}
    del changed["streamer_id"]
    written = api.ok("PUT", "/v1/streamers/t321", changed)["sequence"]
    answer = similar(api, seed, k=5, after_sequence=written)
    assert ids(answer)[0] == "t321"
    assert answer["hits"][0]["score"] == pytest.approx(1, abs=1e-4)
    assert float(mine["t321"] @ vectors[seed]) < 0.99
    last = 0
    for name in mine:
        if name != "t320":
            last = api.ok("DELETE", f"/v1/streamers/{name}")["sequence"]
    answer = similar(api, seed, k=10, after_sequence=last)
    assert len(answer["hits"]) == 10
    assert_scored(answer, vectors, seed)


def listed(api: Api) -> dict[str, dict[str, Any]]:
    """The lines of the index's listing, by streamer."""
    answer = api.get("/v1/index")
    assert answer.status_code == 200
    lines = [json.loads(line) for line in answer.content.splitlines()]
    assert len({line["streamer_id"] for line in lines}) == len(lines)
    return {line.pop("streamer_id"): line for line in lines}


def test_the_listing_has_every_streamer_with_its_version(api: Api, vectors: Vectors) -> None:
    api.put_streamer("bare")
    api.put_streamer("twice", bio="soup")
    api.put_streamer("twice", bio="raid")
    found = listed(api)
    assert set(vectors) | {"bare", "twice"} <= set(found)
    assert found["bare"]["digest"] == ""
    for name in ("twice", "s0000", "s0399"):
        stored = api.ok("GET", f"/v1/streamers/{name}")
        vector = np.array(api.embedding(name), "<f4").tobytes()
        digest = hashlib.sha256(vector).hexdigest()[:16]
        assert found[name] == {"version": stored["version"], "digest": digest}
    api.ok("DELETE", "/v1/streamers/bare")
    api.wait_until_indexed(api.ok("DELETE", "/v1/streamers/twice")["sequence"])
    assert not {"bare", "twice"} & set(listed(api))


def test_a_rebuilt_index_is_what_the_old_one_was(api: Api, vectors: Vectors) -> None:
    before = listed(api)
    asked = similar(api, "s0042", k=20, exact=True)
    headers = {"Idempotency-Key": '"rebuild-1"', "Prefer": "respond-async"}
    answer = api.post("/v1/index:rebuild", headers=headers)
    assert answer.status_code == 202
    written = api.put_streamer("meanwhile", bio="soup")
    again = api.post("/v1/index:rebuild", headers=headers)
    assert again.json()["job_id"] == answer.json()["job_id"]
    job = api.finished(answer.json())
    assert (job["kind"], job["place"]) == ("index_rebuild", job["result"]["replica"])
    assert job["progress"]["done"] >= ROWS
    assert job["result"]["streamers"] >= ROWS
    assert job["result"]["model_version"] == "test-0"
    api.wait_until_indexed(written)
    after = listed(api)
    assert "meanwhile" in after
    assert {name: after[name] for name in before} == before
    assert (index_of(api)["kind"], index_of(api)["refused"]) == (KIND, None)
    api.wait_until_indexed(api.ok("DELETE", "/v1/streamers/meanwhile")["sequence"])
    assert similar(api, "s0042", k=20, exact=True)["hits"] == asked["hits"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/index"), ("POST", "/v1/index:rebuild")])
def test_the_index_is_for_admins(api: Api, method: str, path: str) -> None:
    other = api.with_key("search", "streamers:read", "streamers:write")
    other.refused(method, path, status=403, code="missing_scope")


def test_a_restarted_service_answers_from_its_snapshot(tmp_path: Path, serve: Serve) -> None:
    variables = {
        "STREAMER_INDEX__KIND": "HNSW16",
        "STREAMER_INDEX__FROM_ROWS": "100",
        "STREAMER_INDEX__RECALL": "0.9",
        "STREAMER_INDEX__SNAPSHOT_FROM_ROWS": "0",
        "STREAMER_INDEX__SNAPSHOT_S": "1",
        "STREAMER_INDEX__SNAPSHOT_CHANGES": "100",
    }
    first = serve(**variables)
    last = first.api.write(profile(i) for i in range(150))
    # The index is approximate then, and saved anew.
    first.api.finished(first.api.ok("POST", "/v1/index:rebuild", status=202))

    def snapshot(service: Service) -> dict[str, Any]:
        return service.api.ok("GET", "/readyz")["snapshot"]

    wait_until(lambda: (snapshot(first)["sequence"] or 0) >= last, "the index is saved")
    assert snapshot(first)["source"] == "store"
    # What is written since is in the log alone when the process is killed.
    first.api.ok("DELETE", "/v1/streamers/s0003")
    last = first.api.put_streamer("s0200", bio=profile(7)["bio"])
    assert snapshot(first)["sequence"] < last
    vectors = read(first.api, ["s0200", *(f"s{i:04d}" for i in range(150) if i != 3)])
    first.kill()

    def assert_same(service: Service) -> None:
        for seed in ("s0007", "s0042", "s0149"):
            asked = similar(service.api, seed, k=149, exact=True)
            assert_best(asked, vectors, seed, 149)
            assert set(ids(asked)) == set(vectors) - {seed}
            tenth = [{"field": "tenth", "any": [4]}]
            body = {"positive": [{"streamer_id": seed}], "k": 40, "filter": {"must": tenth}}
            few = [name for name in vectors if name[-1] == "4"]
            assert_best(service.api.ok("POST", "/v1/similar", body), vectors, seed, 40, few)
        assert ids(similar(service.api, "s0007", k=1)) == ["s0200"]
        assert set(listed(service.api)) == set(vectors)

    second = serve(**variables)
    assert snapshot(second)["source"] == "snapshot"
    assert index_of(second.api)["kind"] == "HNSW16"
    assert_same(second)
    assert second.stop(signal.SIGTERM) == 0

    saved = [path for path in (tmp_path / "data" / "index").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in saved) > 150 * 128 * 4
    for path in saved:
        content = bytearray(path.read_bytes())
        content[len(content) // 2 :] = b"\x00" * (len(content) - len(content) // 2)
        path.write_bytes(content)
    third = serve(**variables)
    assert snapshot(third)["source"] == "store"
    assert_same(third)
