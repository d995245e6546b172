"""Lists of streamers that were compared with all others are joined as their profiles are."""

import json
import time
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.features.dedup.edges import may_be_same
from tests.service.conftest import put
from training.world import generate

STREAMERS = 400


@pytest.fixture
def world(client: TestClient) -> list[dict[str, Any]]:
    """Profiles with rings, which are stored and evaluated."""
    profiles = generate(STREAMERS, 3, ring_share=0.2).profiles
    for profile in profiles:
        for item in [*profile.get("videos", []), *profile.get("lives", [])]:
            item.pop("cover", None)  # of a space that the bundle does not know
    lines = "".join(json.dumps(profile) + "\n" for profile in profiles)
    headers = {"Content-Type": "application/x-ndjson"}
    answer = client.post("/v1/streamers:bulk", content=lines, headers=headers)
    outcomes = [json.loads(line) for line in answer.raise_for_status().text.splitlines()]
    assert {each["outcome"] for each in outcomes} == {"created"}
    until_evaluated(client, outcomes[-1]["sequence"])
    return profiles


def until_evaluated(client: TestClient, sequence: int) -> None:
    ends = time.monotonic() + 60
    while (client.get("/v1/duplicates").json()["evaluated_sequence"] or 0) < sequence:
        assert time.monotonic() < ends
        time.sleep(0.02)


def joined(client: TestClient, **asked: Any) -> list[dict[str, dict[str, Any]]]:
    """Members of each cluster by id; `joined_with` may be one of several that say as much."""
    answer = client.post("/v1/dedup", json=asked)
    assert answer.status_code == 200, answer.text
    found = [{m.pop("streamer_id"): m for m in c["members"]} for c in answer.json()["clusters"]]
    for members in found:
        assert {m.pop("joined_with") for m in members.values()} <= members.keys()
    return found


def assert_equal(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    assert [list(members) for members in one] == [list(members) for members in other]
    for members, expected in zip(one, other, strict=True):
        for name, member in members.items():
            assert member == {
                key: pytest.approx(value, rel=1e-4) if isinstance(value, float) else value
                for key, value in expected[name].items()
            }


def test_ids_are_joined_as_their_profiles_are(
    client: TestClient, world: list[dict[str, Any]]
) -> None:
    by_evidence = 0
    for seed in range(3):
        rng = np.random.default_rng(seed)
        chosen = [world[i] for i in rng.permutation(STREAMERS)[: STREAMERS - 150 * seed]]
        asked = [profile["streamer_id"] for profile in chosen]
        by_ids = joined(client, ids=asked)
        assert_equal(by_ids, joined(client, profiles=chosen))
        by_evidence += sum(m["weight"] is not None for each in by_ids for m in each.values())
    assert by_evidence > 50


def test_who_was_written_just_now_is_joined_too(
    client: TestClient, world: list[dict[str, Any]]
) -> None:
    copied = world[0]
    shown = {k: v for k, v in copied.items() if k != "streamer_id"}
    for turn in range(5):  # whatever is evaluated by the time of the question
        sequence = put(client, f"copy-{turn}", **shown)
        asked = [profile["streamer_id"] for profile in world[:50]]
        copies = [f"copy-{i}" for i in range(turn + 1)]
        clusters = joined(client, ids=[*asked, *copies], after_sequence=sequence)
        (mine,) = [members for members in clusters if copied["streamer_id"] in members]
        assert mine.keys() >= {copied["streamer_id"], *copies}


def test_who_is_compared() -> None:
    nobody = np.full(6, -1)
    assert may_be_same(None, nobody, ()).tolist() == [0, 1, 2, 3, 4, 5]
    parts = ["a", None, "b", "a", "c", None]
    assert may_be_same(parts, nobody, ()).tolist() == [0, 3]
    partners = np.array([-1, 4, -1, -1, -1, -1])
    assert may_be_same(parts, partners, ()).tolist() == [0, 1, 3, 4]
    assert may_be_same([None] * 6, nobody, ()).tolist() == []
