"""Groups of duplicates follow from streamers and judgements, whatever the order of writing was."""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.api import Api
from tests.support.rings import copy_of, group_of, members_of
from tests.support.service import wait_until

RINGS = ("quorzel", "lumbrax", "tirvok", "wexford")
KINDS = [*[(ring,) for ring in RINGS] * 2, ("quorzel", "lumbrax")]
"""What a streamer shows: a copy of one of a ring, or it quotes two of them."""
IDS = [f"s{i}" for i in range(9)]
MARKERS = ("marker-a", "marker-b")
kinds = st.sampled_from(KINDS)
pairs = st.tuples(st.sampled_from(IDS), st.sampled_from(IDS)).filter(lambda pair: pair[0] < pair[1])
verdicts = st.sampled_from(["same", "different", "same", "different", "unsure"])


class World(NamedTuple):
    """What is stored in the end: what each streamer shows, and judgements, the oldest first."""

    shown: dict[str, tuple[str, ...]]
    judged: list[tuple[tuple[str, str], str]]


worlds = st.builds(
    World,
    st.fixed_dictionaries(dict.fromkeys(IDS, kinds)),
    st.lists(st.tuples(pairs, verdicts), min_size=2, max_size=6, unique_by=lambda each: each[0]),
)


def profile_of(kind: Sequence[str]) -> dict[str, object]:
    if len(kind) == 1:
        return copy_of(kind[0])
    bio = " ".join(copy_of(ring)["bio"] for ring in kind)
    return {"name": "Zed", "tags": ["music"], "bio": bio}


def judge(api: Api, pair: tuple[str, str], verdict: str) -> None:
    api.ok("PUT", "/v1/judgements", {"a": pair[0], "b": pair[1], "verdict": verdict})


def take_back(api: Api, pair: tuple[str, str]) -> None:
    api.ok("DELETE", "/v1/judgements", params={"a": pair[0], "b": pair[1]})


def put(api: Api, streamer_id: str, kind: Sequence[str]) -> int:
    answer = api.put(f"/v1/streamers/{streamer_id}", json=profile_of(kind))
    assert answer.status_code in (200, 201), answer.text
    return answer.json()["sequence"]


def write_at_once(api: Api, world: World) -> int:
    lines = [{"streamer_id": name, **profile_of(kind)} for name, kind in world.shown.items()]
    sequence = api.write(lines)
    for pair, verdict in world.judged:
        judge(api, pair, verdict)
    return sequence


def write_by_detours(api: Api, world: World, drawn: Random) -> int:
    """Write one after the other, some of them after something else, or after a deletion."""
    stored, left, sequence = set[str](), [*world.judged], 0
    for name in drawn.sample(IDS, len(IDS)):
        if drawn.random() < 0.4:
            put(api, name, drawn.choice(KINDS))
            if stored and drawn.random() < 0.5:
                pair = min(name, other := min(stored)), max(name, other)
                if pair not in dict(world.judged):
                    judge(api, pair, drawn.choice(["same", "different"]))
                    take_back(api, pair)
            if drawn.random() < 0.5:
                api.ok("DELETE", f"/v1/streamers/{name}")
        sequence = put(api, name, world.shown[name])
        stored.add(name)
        while left and stored.issuperset(left[0][0]) and drawn.random() < 0.7:
            pair, verdict = left.pop(0)
            judge(api, pair, "unsure")
            judge(api, pair, verdict)
    for pair, verdict in left:
        judge(api, pair, verdict)
    return sequence


def wait_until_judged(api: Api) -> None:
    """Wait until groups take the judgements so far into account: they are read in order."""
    judge(api, MARKERS, "same")
    wait_until(lambda: group_of(api, MARKERS[0]) is not None, "the markers are joined")
    take_back(api, MARKERS)
    wait_until(lambda: group_of(api, MARKERS[0]) is None, "the markers are parted")


def partition(api: Api, sequence: int) -> set[tuple[str, ...]]:
    wait_until_judged(api)
    api.wait_until_grouped(sequence)
    return {tuple(members_of(api, name)) for name in IDS}


def clear(api: Api, world: World) -> None:
    for pair, _ in world.judged:
        take_back(api, pair)
    for name in IDS:
        api.ok("DELETE", f"/v1/streamers/{name}")


@pytest.fixture(scope="module", autouse=True)
def markers(api: Api) -> None:
    """Two streamers whom nothing joins but a judgement."""
    api.write(
        {"streamer_id": name, "name": name, "bio": word, "tags": ["travel"]}
        for name, word in zip(MARKERS, ("beach", "mountain"), strict=True)
    )


@settings(max_examples=10)
@given(world=worlds, drawn=st.randoms(use_true_random=False), to_rebuild=st.booleans())
def test_any_order_of_writing_makes_the_same_groups(
    api: Api, world: World, drawn: Random, to_rebuild: bool
) -> None:
    expected = partition(api, write_at_once(api, world))
    assert sorted(name for group in expected for name in group) == IDS
    clear(api, world)
    sequence = write_by_detours(api, world, drawn)
    assert partition(api, sequence) == expected
    if to_rebuild:
        api.finished(api.ok("POST", "/v1/duplicates:rebuild", status=202))
        assert partition(api, sequence) == expected
    for pair, verdict in world.judged:  # the newest of all is never overruled
        if (pair, verdict) == world.judged[-1] and verdict != "unsure":
            assert (pair[1] in members_of(api, pair[0])) == (verdict == "same")
    clear(api, world)
