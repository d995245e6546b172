"""The map: fitted by a job, everyone on it, whoever is written later a moment after."""

import json
import random
import struct
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.support.api import Api, wrong_fields
from tests.support.bundles import DIM, TOPICS, write_bundle
from tests.support.service import wait_until

EACH = 12
NAMES = [f"{topic}-{i:02}" for topic in TOPICS for i in range(EACH)]
STEPS = 65_534
WHOLE = {"polygon": [[0, 0], [STEPS, 0], [STEPS, STEPS], [0, STEPS]]}
SELECT = "/v1/layouts/current:select"
POINTS = "/v1/layouts/current/points"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Another model can be registered from a folder."""
    folder = tmp_path_factory.mktemp("models")
    write_bundle(folder / "test-1", seed=1)
    return {"STREAMER_MODELS__FOLDER": str(folder)}


def profile_of(topic: str, i: int) -> dict[str, Any]:
    words = TOPICS[topic].split()
    return {
        "name": f"{topic.title()} {i}",
        "bio": f"{words[i % 4]} {words[(i + 1) % 4]} {words[4 + i % 4]}",
        "tags": [topic, words[i % 8]],
        "category": topic,
        "attributes": {"followers": i},
    }


class Drawn(NamedTuple):
    """The points of a map: the header, places (n, 2), and the class of each (n,)."""

    head: dict[str, Any]
    places: Any
    codes: Any


def drawn(api: Api, **params: str) -> Drawn:
    """The points, read as the documentation says."""
    answer = api.get(POINTS, params=params)
    assert answer.status_code == 200, answer.text
    content = answer.content
    assert len(content) == int(answer.headers["content-length"])
    magic, size = struct.unpack_from("<4sI", content)
    assert magic == b"SSM1"
    head, at = json.loads(content[8 : 8 + size]), 8 + size
    places, codes, left = [np.zeros((0, 2))], [np.zeros(0, np.uint8)], head["count"]
    while left:
        some = min(left, head["block"])
        places.append(np.frombuffer(content, "<u2", 2 * some, at).reshape(2, some).T)
        codes.append(np.frombuffer(content, "u1", some, at + 4 * some))
        at, left = at + 5 * some, left - some
    assert at == len(content)
    return Drawn(head, np.concatenate(places), np.concatenate(codes))


def select(api: Api, **part: Any) -> Any:
    return api.ok("POST", SELECT, part)


def place_of(api: Api, streamer_id: str) -> tuple[float, float]:
    found = select(api, streamer_id=streamer_id)
    return found["x"], found["y"]


def wait_until_placed(api: Api, count: int) -> None:
    """Wait until so many are on the map, as the index has them now."""
    wait_until(lambda: select(api, **WHOLE, limit=1)["count"] == count, f"{count} are on the map")


@pytest.fixture(scope="module")
def first(api: Api) -> dict[str, Any]:
    """The result of the first fit, of four topics."""
    api.refused("POST", SELECT, {"near": {"x": 1, "y": 1}}, status=404, code="layout_not_found")
    api.refused("GET", POINTS, status=404, code="layout_not_found")
    state = {"current": None, "served": None, "placed": 0, "waiting": 0, "problem": None}
    wait_until(lambda: api.ok("GET", "/v1/layouts") == state, "there is no map")
    few = [{"streamer_id": n, **profile_of(n[:-3], int(n[-2:]))} for n in NAMES]
    api.write(few[:5])
    failed = api.finished(api.ok("POST", "/v1/layouts:fit", status=202), "failed")
    assert failed["error"]["code"] == "layout_not_fitted"
    assert "10 are needed" in failed["error"]["detail"]
    api.write(few)
    once = {"Idempotency-Key": '"fit-1"'}
    jobs = [api.ok("POST", "/v1/layouts:fit", status=202, headers=once) for _ in range(2)]
    assert jobs[0]["job_id"] == jobs[1]["job_id"]
    job = api.finished(jobs[0])
    assert job["kind"] == "layout"
    assert job["progress"]["done"] == job["progress"]["total"] == 2 * len(NAMES)
    return job["result"]


@pytest.fixture
def mapped(api: Api, first: dict[str, Any]) -> Api:
    """A service with everyone of the fit on its map, and nobody else."""
    for one in api.all("/v1/streamers", "streamers"):
        if one["streamer_id"] not in NAMES:
            api.ok("DELETE", f"/v1/streamers/{one['streamer_id']}")
    wait_until_placed(api, len(NAMES))
    return api


def test_everyone_is_on_the_map_beside_those_alike(mapped: Api, first: dict[str, Any]) -> None:
    state = mapped.ok("GET", "/v1/layouts")
    assert first["fitted"] == first["streamers"] == len(NAMES)
    assert (first["shared"], first["residual"]) == (0, None)
    assert state["current"]["fitted"] >= len(NAMES)
    assert state["current"]["age_s"] >= 0
    assert state["current"]["model_version"] == "test-0"
    assert state["problem"] is None
    assert "\nstreamer_layout_served 1.0\n" in mapped.get("/metrics").text
    found = drawn(mapped)
    assert (found.head["count"], found.head["layout_id"]) == (len(NAMES), state["served"])
    assert not found.codes.any()
    whole = select(mapped, **WHOLE, limit=1000)
    assert (whole["count"], whole["layout_id"]) == (len(NAMES), state["served"])
    on_map = {one["streamer_id"]: (one["x"], one["y"]) for one in whole["streamers"]}
    assert sorted(on_map) == sorted(NAMES)
    assert {*on_map.values()} == {(x, y) for x, y in found.places.tolist()}
    assert all(one["name"].lower().startswith(one["category"]) for one in whole["streamers"])
    centres = {
        topic: np.mean([at for name, at in on_map.items() if name.startswith(topic)], axis=0)
        for topic in TOPICS
    }
    nearest = {
        name: min(centres, key=lambda t: float(np.linalg.norm(np.array(on_map[name]) - centres[t])))
        for name in NAMES
    }
    assert np.mean([name.startswith(nearest[name]) for name in NAMES]) > 0.9


def test_who_is_in_a_part_of_the_map_comes_nearest_first(mapped: Api) -> None:
    whole = select(mapped, **WHOLE, limit=1000)
    places = {one["streamer_id"]: np.array([one["x"], one["y"]]) for one in whole["streamers"]}
    middle = places["music-03"]

    def near(radius: float) -> set[str]:
        return {n for n, at in places.items() if np.linalg.norm(at - middle) <= radius}

    x, y = middle.tolist()
    for radius in (0, 2000, 20_000):
        for part in (
            {"near": {"x": x, "y": y, "radius": radius}},
            {"streamer_id": "music-03", "radius": radius},
        ):
            found = select(mapped, **part, limit=1000)
            ids = [one["streamer_id"] for one in found["streamers"]]
            assert ({*ids}, found["count"]) == (near(radius), len(ids))
            away = [float(np.linalg.norm(places[name] - middle)) for name in ids]
            assert away == sorted(away)
    few = select(mapped, streamer_id="music-03", radius=20_000, limit=3)
    assert [one["streamer_id"] for one in few["streamers"]] == ids[:3]
    assert few["count"] == len(ids)
    half = np.median([at[0] for at in places.values()]) + 0.5
    left = select(mapped, polygon=[[0, 0], [half, 0], [half, STEPS], [0, STEPS]], limit=1000)
    assert {one["streamer_id"] for one in left["streamers"]} == {
        name for name, at in places.items() if at[0] < half
    }


def test_who_is_written_is_on_the_map_soon_and_who_is_deleted_is_not(mapped: Api) -> None:
    before = place_of(mapped, "cooking-01")
    for topic, like in (("music", 3), ("travel", 5)):  # who changes moves
        mapped.put_streamer("new-1", **profile_of(topic, like))
        wait_until_placed(mapped, len(NAMES) + 1)
        beside = place_of(mapped, f"{topic}-{like:02}")
        assert place_of(mapped, "new-1") == pytest.approx(beside, abs=2)
    mapped.ok("DELETE", "/v1/streamers/new-1")
    wait_until_placed(mapped, len(NAMES))
    gone = {"streamer_id": "new-1"}
    mapped.refused("POST", SELECT, gone, status=404, code="streamer_not_found")
    assert place_of(mapped, "cooking-01") == before


def test_colours_tell_values_ranges_and_groups(mapped: Api) -> None:
    found = drawn(mapped, colour="category")
    classes = found.head["classes"]
    assert {one["value"]: one["count"] for one in classes} == dict.fromkeys(TOPICS, EACH)
    whole = select(mapped, **WHOLE, limit=1000)["streamers"]
    for code, one in enumerate(classes, start=1):
        told = {(x, y) for x, y in found.places[found.codes == code].tolist()}
        assert told == {(s["x"], s["y"]) for s in whole if s["category"] == one["value"]}
    numbers = drawn(mapped, colour="followers")
    bounds = [one["gte"] for one in numbers.head["classes"]]
    assert len(bounds) == 5
    assert bounds == sorted(bounds)
    assert sum(one["count"] for one in numbers.head["classes"]) == len(NAMES)
    nothing = drawn(mapped, colour="no-such-field")
    assert nothing.head["classes"] == []
    assert not nothing.codes.any()
    for i in range(3):
        mapped.put_streamer(f"copy-{i}", **{**profile_of("music", 1), "name": "the one"})

    def groups() -> Drawn:
        return drawn(mapped, colour="duplicate_group")

    wait_until_placed(mapped, len(NAMES) + 3)
    wait_until(
        lambda: any(one["count"] >= 3 for one in groups().head["classes"]), "the copies are told"
    )
    by_group = groups()
    counts = [one["count"] for one in by_group.head["classes"]]
    assert np.bincount(by_group.codes)[1:].tolist() == counts


def test_a_refit_lies_as_before(mapped: Api) -> None:
    before = {name: place_of(mapped, name) for name in NAMES}
    old = mapped.ok("GET", "/v1/layouts")["served"]
    mapped.write({"streamer_id": f"more-{i}", **profile_of("gaming", i)} for i in range(6))
    result = mapped.finished(mapped.ok("POST", "/v1/layouts:fit", status=202))["result"]
    assert result["shared"] == len(NAMES)
    assert result["residual"] < 0.5
    state = mapped.ok("GET", "/v1/layouts")
    assert state["served"] == state["current"]["layout_id"] == result["layout_id"] != old
    after = {name: place_of(mapped, name) for name in NAMES}
    moved = [np.linalg.norm(np.subtract(after[n], before[n])) for n in NAMES]
    assert np.median(moved) < STEPS / 6  # by chance a third of the map
    part = {"near": {"x": 1, "y": 1}, "layout_id": old}
    mapped.refused("POST", SELECT, part, status=404, code="layout_not_found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, ""),
        ({"near": {"x": 1, "y": 1}, "streamer_id": "a"}, ""),
        ({"near": {"x": -1, "y": 1}}, "/near/x"),
        ({"near": {"x": 1}}, "/near/y"),
        ({"near": {"x": True, "y": 1}}, "/near/x"),
        ({"polygon": [[0, 0], [1, 1]]}, "/polygon"),
        ({"polygon": [[0, 0]] * 501}, "/polygon"),
        ({"polygon": [[0, 0], [1, 1], [0, "a"]]}, "/polygon/2/1"),
        ({"polygon": [[0, 0], [1, 1], [70000, 1]]}, "/polygon/2/0"),
        ({"streamer_id": "a", "limit": 5001}, "/limit"),
        ({"streamer_id": ".."}, "/streamer_id"),
        ({"streamer_id": "a", "radius": -1}, "/radius"),
    ],
)
def test_what_is_no_part_of_the_map_is_refused(api: Api, body: dict[str, Any], field: str) -> None:
    problem = api.refused("POST", SELECT, body, status=422, code="invalid_request")
    assert wrong_fields(problem) == [field]


def test_the_map_needs_the_scope_to_search_and_groups_theirs(mapped: Api) -> None:
    with mapped.with_key("search") as searcher:
        assert drawn(searcher).head["count"] == len(NAMES)
        groups = {"colour": "duplicate_group"}
        searcher.refused("GET", POINTS, params=groups, status=403, code="missing_scope")
    with mapped.with_key("streamers:read", "duplicates") as other:
        for method, path in (("GET", "/v1/layouts"), ("GET", POINTS), ("POST", "/v1/layouts:fit")):
            other.refused(method, path, status=403, code="missing_scope")
        other.refused("POST", SELECT, {"streamer_id": "a"}, status=403, code="missing_scope")


def test_colours_tell_what_another_model_changed(mapped: Api) -> None:
    asked = {"colour": "model_change"}

    def refused() -> None:
        problem = mapped.refused("GET", POINTS, params=asked, status=422, code="invalid_request")
        assert wrong_fields(problem) == ["colour"]

    refused()  # there is no other model
    mapped.ok("POST", "/v1/models", {"folder": "test-1"}, status=201)
    mapped.finished(mapped.ok("POST", "/v1/models/test-1:backfill", status=202))
    wait_until(lambda: mapped.get(POINTS, params=asked).status_code == 422, "its index is complete")
    refused()  # there are too few streamers to turn one space to the other
    drawing, count = random.Random(5), 8 * DIM
    words = [word for known in TOPICS.values() for word in known.split()]
    mapped.write(
        {"streamer_id": f"many-{i}", "name": f"n{i}", "tags": drawing.sample(words, 6)}
        for i in range(count)
    )
    wait_until_placed(mapped, len(NAMES) + count)

    def are_all_compared() -> bool:
        answers = mapped.get(POINTS, params=asked).status_code == 200
        return answers and bool(drawn(mapped, **asked).codes.all())

    wait_until(are_all_compared, "all are compared")
    told = drawn(mapped, **asked)
    classes = told.head["classes"]
    assert len(classes) == 5
    assert [one["lte"] for one in classes[:-1]] == [one["gte"] for one in classes[1:]]
    counts = [one["count"] for one in classes]
    assert np.bincount(told.codes).tolist() == [0, *counts]
    assert max(counts) - min(counts) < 0.2 * sum(counts)
