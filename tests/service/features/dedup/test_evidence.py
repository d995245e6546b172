"""Copies that only evidence joins: in lists, and after writes."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from model_export.contract.bundle import Bundle
from model_export.contract.evidence import VERDICTS, packaged
from model_export.contract.streamer import StreamerProfile
from service.engine.evidence.engine import Evidence
from service.engine.evidence.whole_corpus import joined_in
from service.engine.work.lanes import run_to_end
from service.features.dedup.edges import compare_list
from service.features.dedup.schemas import DedupClustersOut, DedupFeedOut
from service.index.query import EQUAL
from tests.bundles import SPACE, SPACE_WIDTH
from tests.service.conftest import put, wait_until_visible

BIO = "手工面条每周五一个新食谱，想学做饭的朋友常来坐坐，厨房里天天都有好味道"
DISGUISED = " ".join("手工麵條每週五一個新食譜，想學做飯的朋友常來坐坐，廚房裡天天都有好味道")
TITLES = ["今天教大家三步做出葱油拌面", "外婆留下来的老面馒头配方"]
STRANGERS = [
    {"bio": "acoustic guitar and old songs until two in the morning", "tags": ["music"]},
    {"bio": "горы, палатки и костёр каждую субботу вечером", "tags": ["travel"]},
]


def titled(*titles: str) -> list[dict[str, Any]]:
    return [{"video_id": f"v{i}", "title": title} for i, title in enumerate(titles)]


ORIGINAL = {"bio": BIO, "tags": ["cooking"], "videos": titled(*TITLES), "name": "面条师傅"}
COPY = {
    "bio": DISGUISED,
    "tags": ["cooking"],
    "videos": titled(*("😀".join(t) for t in TITLES)),
    "name": "guitarist",
}


def cover(seed: int) -> dict[str, Any]:
    vector = np.random.default_rng(seed).normal(size=SPACE_WIDTH).tolist()
    return {"vector": vector, "space": SPACE}


@pytest.fixture
def stored(client: TestClient) -> TestClient:
    put(client, "a", **ORIGINAL)
    put(client, "b", **COPY)
    written = [put(client, f"x{i}", **stranger) for i, stranger in enumerate(STRANGERS)]
    wait_until_visible(client, written[-1])
    return client


def dedup(client: TestClient, **query: Any) -> dict[str, Any]:
    answer = client.post("/v1/dedup", json=query)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    documented = DedupFeedOut if query.get("mode") == "feed" else DedupClustersOut
    assert documented.model_validate(found).model_dump(mode="json") == found
    return found


def test_a_disguised_copy_is_joined_with_its_original(stored: TestClient) -> None:
    ids = ["x0", "a", "x1", "b", "gone"]
    found = dedup(stored, ids=ids)
    (cluster,) = found["clusters"]
    assert [m["streamer_id"] for m in cluster["members"]] == ["a", "b"]
    assert [m["joined_with"] for m in cluster["members"]] == ["b", "a"]
    assert {m["kind"] for m in cluster["members"]} == {"near_duplicate"}
    assert found["unique"] == ["x0", "x1"]
    assert found["not_stored"] == ["gone"]
    sides = {"a": {"streamer_id": "a"}, "b": {"streamer_id": "b"}}
    compared = stored.post("/v1/compare", json=sides).json()
    for member in cluster["members"]:
        assert member["weight"] == pytest.approx(compared["weight"], abs=1e-6)
        assert member["probability"] == pytest.approx(compared["probability"], abs=1e-9)
    feed = dedup(stored, ids=ids, mode="feed", window=2)
    assert feed["order"] == ["x0", "a", "x1", "b"]


def test_profiles_are_joined_alike(client: TestClient) -> None:
    shown = {"x0": STRANGERS[0], "a": ORIGINAL, "b": COPY}
    profiles = [{"streamer_id": name, **profile} for name, profile in shown.items()]
    (cluster,) = dedup(client, profiles=profiles)["clusters"]
    assert [m["streamer_id"] for m in cluster["members"]] == ["a", "b"]
    assert dedup(client, profiles=profiles, threshold=0.99)["clusters"] == []


def test_equal_covers_given_as_vectors_join(client: TestClient) -> None:
    def covers(*seeds: int) -> list[dict[str, Any]]:
        return [{"video_id": f"v{i}", "cover": cover(seed)} for i, seed in enumerate(seeds)]

    profiles = [
        {"streamer_id": "a", **STRANGERS[0], "videos": covers(1, 2, 3)},
        {"streamer_id": "b", **STRANGERS[1], "videos": covers(3, 1, 2)},
        {"streamer_id": "c", "bio": BIO, "videos": covers(7, 8, 9)},
    ]
    (cluster,) = dedup(client, profiles=profiles)["clusters"]
    assert [m["streamer_id"] for m in cluster["members"]] == ["a", "b"]
    assert {m["kind"] for m in cluster["members"]} == {"same_media"}


def test_nobody_is_joined_by_pictures_where_they_are_not_to_count(client: TestClient) -> None:
    covers = [{"video_id": f"v{i}", "cover": cover(i)} for i in range(3)]
    profiles = [
        {"streamer_id": "a", **STRANGERS[0], "videos": covers},
        {"streamer_id": "b", **STRANGERS[1], "videos": covers},
        {"streamer_id": "c", **ORIGINAL},
        {"streamer_id": "d", **COPY},
    ]

    def clusters(**more: Any) -> list[list[str]]:
        found = dedup(client, profiles=profiles, **more)["clusters"]
        return [[m["streamer_id"] for m in cluster["members"]] for cluster in found]

    assert clusters() == clusters(pictures=True) == [["a", "b"], ["c", "d"]]
    assert clusters(pictures=False) == [["c", "d"]]


def test_a_write_names_who_shows_the_same_in_disguise(client: TestClient) -> None:
    wait_until_visible(client, put(client, "a", **ORIGINAL))
    (near,) = client.put("/v1/streamers/b", json=COPY).json()["near_duplicates"]
    assert (near["streamer_id"], near["kind"]) == ("a", "near_duplicate")
    assert near["probability"] > 0.5
    sequence = put(client, "b", **STRANGERS[0])
    wait_until_visible(client, sequence)
    changed = client.patch("/v1/streamers/b", json=COPY).json()
    assert [n["streamer_id"] for n in changed["near_duplicates"]] == ["a"]


def test_lines_have_near_duplicates_where_they_are_asked_for(client: TestClient) -> None:
    shown = {"a": ORIGINAL, "x0": STRANGERS[0], "b": COPY}
    lines = [json.dumps({"streamer_id": name, **profile}) for name, profile in shown.items()]
    content = "\n".join([*lines, "{}"])
    headers = {"Content-Type": "application/x-ndjson"}
    for asked in (True, False):
        url = f"/v1/streamers:bulk?near_duplicates={str(asked).lower()}"
        answer = client.post(url, content=content, headers=headers)
        a, other, b, wrong = map(json.loads, answer.text.splitlines())
        assert wrong["outcome"] == "error"
        if not asked:
            assert "near_duplicates" not in a
            continue
        assert [n["streamer_id"] for n in a["near_duplicates"]] == ["b"]  # of the same request
        assert [n["streamer_id"] for n in b["near_duplicates"]] == ["a"]
        assert other["near_duplicates"] == []
        assert b["near_duplicates_unavailable_because"] is None


def test_who_shares_more_than_the_contact_of_a_crowd_is_joined(bundle: Path) -> None:
    letters = [chr(code) for code in range(0x4E00, 0x5E00)]
    bios = ["".join(each) for each in np.random.default_rng(0).choice(letters, (20, 70))]
    bios[1] = bios[0][:40] + bios[1][40:]
    evidence = Evidence(Bundle(bundle))
    evidence.worth = packaged().frequencies.table()  # of more streamers than the bundle's
    sides = [
        evidence.side(StreamerProfile(streamer_id="s", bio=f"{bio} 微信：agency_2020"))
        for bio in bios
    ]
    edges = run_to_end(compare_list(evidence, sides, np.full(20, -1), []))
    joined = np.flatnonzero(edges.joined)
    assert list(zip(edges.one[joined], edges.other[joined], strict=True)) == [(0, 1)]
    assert VERDICTS[int(edges.verdicts[joined[0]])] == "same_contact"  # what weighs most
    # In groups, where contacts alone are cut, it is an edge of the other kind.
    found = run_to_end(joined_in(evidence, sides, np.array([0, 0]), np.array([1, 2])))
    assert [VERDICTS[each] for each in found.verdicts] == ["near_duplicate", "same_contact"]


def test_sketches_are_compared_by_cosine_though_they_were_rounded(client: TestClient) -> None:
    words = ["kitchen", "soup", "guitar", "vocal", "match", "boss"]
    shown = [{"bio": f"{one} {other}", "tags": [one]} for one, other in pairwise(words)]
    profiles = [{"streamer_id": f"{i}{n}", **one} for n in "ab" for i, one in enumerate(shown)]
    answer = client.post("/v1/dedup", json={"profiles": profiles, "threshold": 1}).json()
    assert answer["threshold"] == EQUAL  # which joined them
    members = [[m["streamer_id"] for m in c["members"]] for c in answer["clusters"]]
    assert members == [[f"{i}a", f"{i}b"] for i in range(len(shown))]
    for i, one in enumerate(shown):
        wait_until_visible(client, put(client, f"{i}a", **one))
        near = client.put(f"/v1/streamers/{i}b", json=one).json()["near_duplicates"]
        (score,) = [n["score"] for n in near if n["streamer_id"] == f"{i}a"]
        assert score == pytest.approx(1, abs=1e-4)
