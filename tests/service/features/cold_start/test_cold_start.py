"""Cold start where the bundle knows who shares an audience: established streamers vote."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from model_export.contract.established import BehaviourGraph, Established
from service.app import create_app
from service.features.cold_start.service import Recommender
from service.settings import Settings
from tests.bundles import ESTABLISHED_IDS, write_bundle
from tests.service.conftest import put

# The audience of 0 and 4 (cooking) watches 2 (music) most, and 7, which is never stored.
EDGES = {0: {2: 0.75, 7: 0.25}, 4: {2: 0.5, 7: 0.25, 1: 0.25}}
STORED = {0: "cooking", 4: "cooking", 2: "music", 1: "gaming", 3: "travel"}


def behaviour() -> BehaviourGraph:
    rows = [EDGES.get(row, {}) for row in range(len(ESTABLISHED_IDS))]
    return BehaviourGraph(
        np.cumsum([0, *map(len, rows)]),
        np.array([place for row in rows for place in row], np.int32),
        np.array([weight for row in rows for weight in row.values()], np.float32),
        temperature=0.01,
        own_share=0.1,
    )


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder: Path = tmp_path_factory.mktemp("voting")
    write_bundle(folder / "bundle", behaviour=behaviour())
    settings = Settings(bundle=folder / "bundle", data_dir=folder / "data")
    with TestClient(create_app(settings), base_url="http://localhost") as running:
        for row, tag in STORED.items():
            put(running, ESTABLISHED_IDS[row], tags=[tag])
        running.last = put(running, "newcomer", tags=["cooking"])  # type: ignore[attr-defined]
        yield running


def ask(client: TestClient, **body: object) -> list[dict]:
    body = {"neighbours": 10, "after_sequence": client.last, **body}  # type: ignore[attr-defined]
    answer = client.post("/v1/cold-start", json=body)
    answer.raise_for_status()
    assert answer.json()["fallback"] == {"used": False, "reason": None}
    return answer.json()["neighbours"]


def test_those_come_first_whom_the_audience_of_the_alike_watches(client: TestClient) -> None:
    found = ask(client, profile={"tags": ["cooking"]})
    # 0 and 4 are as alike: half each. 2 gets (.75 + .5) / 2, 1 gets .25 / 2, they .1 / 2 themselves
    assert [n["streamer_id"] for n in found[:2]] == [ESTABLISHED_IDS[2], ESTABLISHED_IDS[1]]
    assert {n["streamer_id"] for n in found[:4]} == {ESTABLISHED_IDS[row] for row in (0, 1, 2, 4)}
    weights = [n["weight"] for n in found[:4]]
    total = 0.625 + 0.125 + 0.05 + 0.05
    np.testing.assert_allclose(weights, np.array([0.625, 0.125, 0.05, 0.05]) / total, rtol=1e-3)


def test_the_answer_says_whose_votes_it_was(client: TestClient) -> None:
    first, second, *own = ask(client, profile={"tags": ["cooking"]})
    assert first["via"][:2] == [ESTABLISHED_IDS[0], ESTABLISHED_IDS[4]]
    assert second["via"][0] == ESTABLISHED_IDS[4]
    assert all(n["via"][0] == n["streamer_id"] for n in own[:2])
    assert all(n["score"] > 0.99 for n in own[:2])  # cosines: they show the same
    assert abs(first["score"]) < 0.5


def test_a_stored_streamer_is_neither_found_nor_asked_for_itself(client: TestClient) -> None:
    found = ask(client, streamer_id=ESTABLISHED_IDS[0])
    assert found[0]["streamer_id"] == ESTABLISHED_IDS[2]
    assert found[0]["via"][0] == ESTABLISHED_IDS[4]
    assert ESTABLISHED_IDS[0] not in {n["streamer_id"] for n in found}


def test_who_is_not_stored_is_not_answered_and_takes_no_place(client: TestClient) -> None:
    found = ask(client, profile={"tags": ["cooking"]}, neighbours=2)
    assert [n["streamer_id"] for n in found] == [ESTABLISHED_IDS[2], ESTABLISHED_IDS[1]]
    assert sum(n["weight"] for n in found) == pytest.approx(1)


def test_who_is_not_established_has_no_vote(client: TestClient) -> None:
    found = ask(client, profile={"tags": ["travel"]})
    assert found[0]["streamer_id"] == ESTABLISHED_IDS[3]  # nobody knows its audience: itself
    assert "newcomer" not in {n["streamer_id"] for n in found}


def test_as_many_as_may_be_asked_for_are_answered_at_once(client: TestClient) -> None:
    found = ask(client, profile={"tags": ["cooking"]}, neighbours=1000)
    assert len(found) == len(STORED)
    assert all(1 <= len(n["via"]) <= 3 for n in found)


def test_a_recommender_that_knows_nobody_has_no_centroid_to_fall_back_to() -> None:
    nobody = Recommender(Established([], np.zeros((0, 8), np.float32)))
    assert nobody.centroid.tolist() == [0] * 8
