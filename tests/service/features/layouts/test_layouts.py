"""The map: fitted by a job, with everyone on it, and who is written later a moment after."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.features.layouts import service as layouts
from service.settings import Settings
from tests.bundles import TOPICS
from tests.service.conftest import put
from tests.service.features.keys.conftest import bearer, create
from tests.service.features.layouts.maps import (
    drawn,
    ended,
    fitted,
    place_of,
    profile_of,
    select,
    state_of,
    store,
    until_indexed,
    until_placed,
)
from tests.service.features.transfers.waiting import submitted
from tests.service.http.test_bad_input import problem
from tests.service.process import wait_until

pytestmark = pytest.mark.slow
EACH = 12
DOCUMENT = Path(__file__).parents[4] / "docs" / "openapi.json"


def opened(bundle: Path, data: Path, **settings: Any) -> TestClient:
    known = Settings.model_validate({"bundle": bundle, "data_dir": data, **settings})
    return TestClient(create_app(known), base_url="http://localhost")


@pytest.fixture(scope="module")
def fit_once(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with opened(bundle, tmp_path_factory.mktemp("map")) as client:
        store(client, EACH)
        fitted(client)
        yield client


@pytest.fixture
def mapped(fit_once: TestClient) -> TestClient:
    """A service with a map of the streamers of `store`, and no others."""
    names = {f"{topic}-{i:02}" for topic in TOPICS for i in range(EACH)}
    page = fit_once.get("/v1/streamers", params={"limit": 1000}).json()["streamers"]
    for other in {one["streamer_id"] for one in page} - names:
        fit_once.delete(f"/v1/streamers/{other}").raise_for_status()
    store(fit_once, EACH)
    until_placed(fit_once, EACH * len(TOPICS))
    return fit_once


def test_before_the_first_layout_there_is_no_map(client: TestClient) -> None:
    wait_until(lambda: state_of(client)["problem"] is None, "the state is known")
    assert state_of(client) == {
        "current": None, "served": None, "placed": 0, "waiting": 0, "problem": None,
    }  # fmt: skip
    problem(client.get("/v1/layouts/current/points"), 404, "layout_not_found")
    asked = {"near": {"x": 1, "y": 1}}
    problem(client.post("/v1/layouts/current:select", json=asked), 404, "layout_not_found")


def test_a_fit_needs_some_streamers(client: TestClient) -> None:
    put(client, "alone", tags=["cooking"], bio="kitchen soup")
    job = ended(client, submitted(client.post("/v1/layouts:fit")))
    assert job["state"] == "failed"
    assert job["error"]["code"] == "layout_not_fitted"
    assert "10 are needed" in job["error"]["detail"]
    assert state_of(client)["current"] is None


def test_without_the_library_the_job_says_what_to_install(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "umap.py").write_text("raise ModuleNotFoundError('No module named umap')\n")
    monkeypatch.syspath_prepend(tmp_path)
    store(client, 3)
    job = ended(client, submitted(client.post("/v1/layouts:fit")))
    assert job["error"]["code"] == "layout_not_fitted"
    assert "pip install 'similar-streamer[map]'" in job["error"]["detail"]


def test_everyone_is_on_the_map_beside_those_alike(mapped: TestClient) -> None:
    state = state_of(mapped)
    assert state["served"] == state["current"]["layout_id"]
    assert state["current"]["fitted"] == EACH * len(TOPICS)
    assert state["current"]["residual"] is None
    assert "\nstreamer_layout_served 1.0\n" in mapped.get("/metrics").text
    found = drawn(mapped)
    assert found.head["count"] == EACH * len(TOPICS)
    assert found.head["layout_id"] == state["served"]
    assert not found.codes.any()
    whole = select(mapped, polygon=[[0, 0], [65534, 0], [65534, 65534], [0, 65534]], limit=1000)
    assert whole["count"] == EACH * len(TOPICS)
    assert {(one["x"], one["y"]) for one in whole["streamers"]} == found.all()
    places = {t: [] for t in TOPICS}
    for one in whole["streamers"]:
        assert one["name"] == f"{one['category'].title()} {int(one['streamer_id'][-2:])}"
        places[one["category"]].append((one["x"], one["y"]))
    centres = {topic: np.mean(some, axis=0) for topic, some in places.items()}
    for topic, some in places.items():
        right = [
            min(centres, key=lambda other: float(np.linalg.norm(np.array(at) - centres[other])))
            == topic
            for at in some
        ]
        assert np.mean(right) > 0.9, topic


def test_who_is_written_is_on_the_map_soon_and_who_is_deleted_is_not(mapped: TestClient) -> None:
    count = EACH * len(TOPICS)
    put(mapped, "new-1", **profile_of("music", 3))
    until_placed(mapped, count + 1)
    assert place_of(mapped, "new-1") == pytest.approx(place_of(mapped, "music-03"), abs=2)
    until_indexed(mapped, put(mapped, "new-1", **profile_of("travel", 5)))  # who changes moves
    until_placed(mapped, count + 1)
    assert place_of(mapped, "new-1") == pytest.approx(place_of(mapped, "travel-05"), abs=2)
    before = place_of(mapped, "cooking-01")
    mapped.delete("/v1/streamers/new-1").raise_for_status()
    until_placed(mapped, count)
    asked = {"streamer_id": "new-1"}
    problem(mapped.post("/v1/layouts/current:select", json=asked), 404, "streamer_not_found")
    assert place_of(mapped, "cooking-01") == before  # and nobody else


def test_colours_tell_values_ranges_and_groups(mapped: TestClient) -> None:
    found = drawn(mapped, colour="category")
    classes = found.head["classes"]
    assert {one["value"]: one["count"] for one in classes} == dict.fromkeys(TOPICS, EACH)
    for code, one in enumerate(classes, start=1):
        ids = {
            s["streamer_id"]
            for x, y in found.places[found.codes == code].tolist()
            for s in select(mapped, near={"x": x, "y": y})["streamers"]
            if s["category"] == one["value"]
        }
        assert ids == {f"{one['value']}-{i:02}" for i in range(EACH)}
    numbers = drawn(mapped, colour="followers")
    assert [one["gte"] for one in numbers.head["classes"]] == sorted(
        one["gte"] for one in numbers.head["classes"]
    )
    assert (numbers.codes > 0).all()
    nothing = drawn(mapped, colour="no-such-field")
    assert nothing.head["classes"] == []
    assert not nothing.codes.any()

    def groups() -> list[dict[str, Any]]:
        return drawn(mapped, colour=layouts.GROUPS).head["classes"]

    for i in range(3):
        put(mapped, f"copy-{i}", **{**profile_of("music", 1), "name": "the one"})
    wait_until(lambda: any(one["count"] >= 3 for one in groups()), "the copies are a group")
    by_group = drawn(mapped, colour=layouts.GROUPS)
    assert sum(one["count"] for one in by_group.head["classes"]) == (by_group.codes > 0).sum()


def test_many_points_come_in_blocks(mapped: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = drawn(mapped, colour="category")
    monkeypatch.setattr(layouts, "BLOCK", 7)
    parts = drawn(mapped, colour="category")
    np.testing.assert_array_equal(whole.places, parts.places)
    np.testing.assert_array_equal(whole.codes, parts.codes)


def test_a_refit_lies_as_before(mapped: TestClient) -> None:
    names = [f"{topic}-{i:02}" for topic in TOPICS for i in range(EACH)]
    before = {name: place_of(mapped, name) for name in names}
    old = state_of(mapped)["served"]
    for i in range(6):
        until_indexed(mapped, put(mapped, f"more-{i}", **profile_of("gaming", i)))
    result = fitted(mapped)
    assert result["shared"] == len(names)
    assert result["residual"] < 0.5
    state = state_of(mapped)
    assert state["served"] == result["layout_id"] != old
    assert state["current"]["shared"] == len(names)
    after = {name: place_of(mapped, name) for name in names}
    moved = [np.linalg.norm(np.subtract(after[n], before[n])) for n in names]
    assert np.median(moved) < 65534 / 6  # by chance a third of the map
    gone = mapped.post(
        "/v1/layouts/current:select", json={"near": {"x": 1, "y": 1}, "layout_id": old}
    )
    problem(gone, 404, "layout_not_found")


def test_the_examples_work(mapped: TestClient) -> None:
    put(mapped, "w0087", **profile_of("cooking", 1))
    until_placed(mapped, EACH * len(TOPICS) + 1)
    schemas = json.loads(DOCUMENT.read_text("utf-8"))["components"]["schemas"]
    for example in schemas["SelectIn"]["examples"]:
        assert select(mapped, **example)["count"] >= 0
    assert select(mapped, streamer_id="w0087")["count"] >= 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"near": {"x": 1, "y": 1}, "streamer_id": "a"},
        {"near": {"x": -1, "y": 1}},
        {"near": {"x": 1}},
        {"near": {"x": True, "y": 1}},
        {"polygon": [[0, 0], [1, 1]]},
        {"polygon": [[0, 0]] * 501},
        {"polygon": [[0, 0], [1, 1], [0, "a"]]},
        {"polygon": [[0, 0], [1, 1], [70000, 1]]},
        {"streamer_id": "a", "limit": 5001},
        {"streamer_id": ".."},
        {"streamer_id": "a", "radius": -1},
    ],
)
def test_what_is_no_part_of_the_map_is_refused(client: TestClient, body: dict[str, Any]) -> None:
    problem(client.post("/v1/layouts/current:select", json=body), 422, "invalid_request")


def test_groups_need_their_scope(bundle: Path, tmp_path: Path) -> None:
    with opened(bundle, tmp_path / "data", api_key="first") as client:
        client.headers.update(bearer("first"))
        key = create(client, scopes=["search"])["key"]
        answer = client.get(
            "/v1/layouts/current/points",
            params={"colour": layouts.GROUPS},
            headers=bearer(key),
        )
        problem(answer, 403, "missing_scope")
