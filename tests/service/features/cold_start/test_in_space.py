"""Cold start in a space that a recommender hands over: vectors, neighbours and users of it."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.engine.prediction import fitted
from service.engine.prediction.confidence import Calibration, Confidence
from service.engine.prediction.shrinkage import Shrinkage
from service.engine.spaces.active import ActiveSpaces
from service.settings import Settings
from tests.bundles import TOPICS, write_bundle
from tests.service.conftest import put, wait_until_visible
from tests.service.features.spaces.hand_overs import (
    WORDS,
    HandOver,
    embeddings_of,
    hand_over_from,
    promote,
    send,
    store_streamers,
)

COUNT = 420
PROFILE = {"bio": TOPICS["cooking"], "tags": ["cooking", "guitar"]}
FEW = 30
"""Streamers that were learned from little."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder: Path = tmp_path_factory.mktemp("spaces")
    write_bundle(folder / "bundle")
    known = {"bundle": folder / "bundle", "data_dir": folder / "data"}
    settings = Settings.model_validate({**known, "duplicates": {"evaluate": False}})
    with TestClient(create_app(settings), base_url="http://localhost") as running:
        yield running


@pytest.fixture(scope="module")
def embeddings(client: TestClient) -> np.ndarray:
    """Embeddings (N, D) of the streamers, who are stored then."""
    return embeddings_of(client, store_streamers(client, COUNT))


@pytest.fixture(scope="module")
def handed(client: TestClient, embeddings: np.ndarray) -> HandOver:
    """The generation that is served: all but the last ten who are stored have vectors."""
    ids = [f"s{i:03}" for i in range(COUNT - 10)]
    interactions = np.full(COUNT - 10, 50, np.float32)
    interactions[:FEW] = 2
    given = hand_over_from(ids, embeddings[:-10], interactions=interactions)
    send(client, "monday", given.npz(), promote=True).raise_for_status()
    return given


def ask(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/cold-start", json={"space": "als", **body})
    answer.raise_for_status()
    return answer.json()


def unit(rows: Any) -> np.ndarray:
    rows = np.array(rows)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.mark.slow
def test_a_newcomer_gets_the_vector_that_follows_from_what_it_shows(
    client: TestClient, handed: HandOver, embeddings: np.ndarray
) -> None:
    newcomer, shown = f"s{COUNT - 1:03}", embeddings[-1]
    map_, *_ = np.linalg.lstsq(embeddings[:-10], handed.vectors, rcond=None)
    found = ask(client, streamer_id=newcomer)["id_embedding"]
    assert (found["space"], found["generation"], found["source"]) == ("als", "monday", "mapped")
    assert unit(found["vector"]) @ unit(shown @ map_) > 0.95
    assert found["age_s"] >= 0
    assert (found["confidence"] is None) == (found["confidence_withheld_because"] is not None)


def test_users_have_the_largest_inner_products_with_the_vector(
    client: TestClient, handed: HandOver
) -> None:
    answer = ask(client, profile=PROFILE, users=7)
    scores = handed.user_vectors @ np.array(answer["id_embedding"]["vector"])
    order = np.argsort(-scores)
    assert [user["user_id"] for user in answer["users"]] == [handed.user_ids[i] for i in order[:7]]
    assert answer["users"][0]["score"] == pytest.approx(scores[order[0]], rel=1e-3)
    without = ask(
        client,
        profile=PROFILE,
        users=7,
        exclude_users=[handed.user_ids[i] for i in order[:3]] + ["nobody", "x" * 256],
        min_score=float(scores[order[5]] + scores[order[6]]) / 2,
    )
    assert [u["user_id"] for u in without["users"]] == [handed.user_ids[i] for i in order[3:6]]
    assert ask(client, profile=PROFILE)["users"] == []


def test_as_many_users_as_may_be_are_excluded(client: TestClient, handed: HandOver) -> None:
    strangers = [f"stranger-{i}" for i in range(100_000 - 100)] + handed.user_ids[:100]
    found = ask(client, profile=PROFILE, users=50, exclude_users=strangers)["users"]
    assert {user["user_id"] for user in found} == set(handed.user_ids[100:])
    more = {"space": "als", "profile": PROFILE, "exclude_users": [*strangers, "one more"]}
    refused = client.post("/v1/cold-start", json=more)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/exclude_users"


def test_who_has_a_vector_gets_it(client: TestClient, handed: HandOver) -> None:
    found = ask(client, streamer_id=handed.ids[FEW + 5])["id_embedding"]
    assert (found["source"], found["confidence"]) == ("own", 1)
    np.testing.assert_allclose(found["vector"], handed.vectors[FEW + 5], rtol=1e-5)


def test_who_was_learned_from_little_gets_a_blend_or_is_predicted(
    client: TestClient, handed: HandOver
) -> None:
    found = ask(client, streamer_id=handed.ids[3])["id_embedding"]
    assert found["source"] == "blended"
    assert found["method"].startswith("own ")
    assert unit(found["vector"]) @ unit(handed.vectors[3]) > 0.8
    enough = ask(client, streamer_id=handed.ids[3], min_interactions=1)["id_embedding"]
    assert enough["source"] == "own"


@pytest.mark.parametrize(
    ("noise", "confidence", "why"), [(8.0, 0.6695, None), (0.0, None, "the generation does not")]
)
def test_a_blend_is_as_sure_as_its_parts(
    client: TestClient,
    handed: HandOver,
    monkeypatch: pytest.MonkeyPatch,
    noise: float,
    confidence: float | None,
    why: str | None,
) -> None:
    """With 2 interactions of noise 8, and a prediction that is told to be right to 0.6."""
    served = client.app_state["services"].spaces.active.get("als")  # type: ignore[index]
    fit, none = served.fitted.fit, np.zeros(4)
    told = Calibration(none, none, np.zeros(1), np.array([0.6]), none)
    predictor = replace(fit.predictor, confidence=Confidence(told, 0.0, None))
    fit = replace(fit, predictor=predictor, shrinkage=Shrinkage(noise, 0.6**-2 - 1))
    served = replace(served, fitted=replace(served.fitted, fit=fit))
    monkeypatch.setattr(ActiveSpaces, "get", lambda *_: served)
    found = ask(client, streamer_id=handed.ids[3])["id_embedding"]
    assert found["source"] == "blended"
    assert found["confidence"] == (confidence and pytest.approx(confidence, abs=1e-3))
    assert (found["confidence_withheld_because"] or "")[:23] == (why or "")


def test_a_vector_of_little_is_no_sure_one(client: TestClient, handed: HandOver) -> None:
    late = {"users": 5, "deadline_ms": 30, "after_sequence": 1 << 40}
    answer = ask(client, streamer_id=handed.ids[3], **late)
    found = answer["id_embedding"]
    assert (found["source"], found["confidence"]) == ("own", None)
    assert "2 interactions" in found["confidence_withheld_because"]
    assert answer["fallback"] == {"used": True, "reason": "deadline"}
    assert "id_embedding" in answer["missing"]


def test_nobody_stands_for_the_established_where_none_are(
    client: TestClient, handed: HandOver
) -> None:
    answer = ask(client, profile=PROFILE, min_interactions=1e9, neighbours=5)
    assert answer["fallback"] == {"used": True, "reason": "no_established_neighbours"}
    assert answer["neighbours"] == []


def test_the_established_are_found_behind_many_who_are_not(
    client: TestClient, handed: HandOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitted, "VOTERS", 5)
    made = client.app_state["services"].spaces.active.get("als").fitted  # type: ignore[index]
    counts = np.zeros(len(handed.ids), np.float32)
    counts[:4] = 50
    made = replace(made, generation=replace(made.generation, interactions=counts))
    shown = client.get(f"/v1/streamers/{handed.ids[200]}/embedding").json()["embedding"]
    near = made.near(np.array(shown, np.float32), 50, without=[2])
    assert set(made.rows[near.places[0]].tolist()) == {0, 1, 3}


def test_neighbours_are_established_and_stored(client: TestClient, handed: HandOver) -> None:
    found = ask(client, profile=PROFILE, neighbours=1000)["neighbours"]
    assert len(found) > 100
    assert {n["streamer_id"] for n in found} <= set(handed.ids[FEW:])
    assert sum(n["weight"] for n in found) == pytest.approx(1, abs=1e-3)
    assert [n["weight"] for n in found] == sorted((n["weight"] for n in found), reverse=True)
    assert set(found[0]["via"]) <= set(handed.ids)
    more = ask(client, profile=PROFILE, neighbours=1000, min_interactions=0)["neighbours"]
    assert {n["streamer_id"] for n in more} & set(handed.ids[:FEW])


@pytest.mark.slow
def test_the_next_hand_over_counts_from_then_on(
    client: TestClient, handed: HandOver, embeddings: np.ndarray
) -> None:
    late = [f"s{i:03}" for i in range(COUNT - 10, COUNT)]
    before = ask(client, profile=PROFILE, users=20)
    again = hand_over_from([*handed.ids, *late], embeddings).turned(3)
    send(client, "tuesday", again.npz(), promote=True).raise_for_status()
    try:
        after = ask(client, profile=PROFILE, users=20, neighbours=1000)
        assert after["id_embedding"]["generation"] == "tuesday"
        cosine = unit(after["id_embedding"]["vector"]) @ unit(before["id_embedding"]["vector"])
        assert cosine < 0.9  # the space was turned
        users = [{u["user_id"] for u in answer["users"]} for answer in (before, after)]
        assert len(users[0] & users[1]) >= 15
        assert {n["streamer_id"] for n in after["neighbours"]} & set(late)
        assert ask(client, streamer_id=late[0])["id_embedding"]["source"] == "own"
    finally:
        promote(client, "monday")
    assert ask(client, streamer_id=late[0])["id_embedding"]["source"] != "own"


def test_a_stored_streamer_is_not_encoded_again(
    client: TestClient, handed: HandOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    from service.engine.encoding.pipeline import EncodingPipeline

    async def fail(*_: object) -> None:
        raise AssertionError("encoded")

    monkeypatch.setattr(EncodingPipeline, "encode", fail)
    assert ask(client, streamer_id=f"s{COUNT - 1:03}", users=5)["users"]


def test_the_established_vote_for_the_neighbours_that_they_came_with(
    client: TestClient, handed: HandOver
) -> None:
    """Each voter names one star, whom neither content nor its vector tells of."""
    star = FEW + 100
    alone = [[] if row == star else [(star, 1.0)] for row in range(len(handed.ids))]
    before = ask(client, profile=PROFILE)["neighbours"]
    assert handed.ids[star] not in {n["streamer_id"] for n in before}
    given = handed.but(neighbours=alone)
    send(client, "starry", given.npz(), promote=True, force=True).raise_for_status()
    try:
        found = ask(client, profile=PROFILE)["neighbours"]
        assert found[0]["streamer_id"] == handed.ids[star]
        assert found[0]["weight"] > 3 * found[1]["weight"]
        assert ask(client, profile=PROFILE)["id_embedding"]["source"] == "mapped"
    finally:
        promote(client, "monday")
    again = ask(client, profile=PROFILE)["neighbours"]
    assert [n["streamer_id"] for n in again] == [n["streamer_id"] for n in before]


@pytest.mark.usefixtures("handed")
def test_who_shows_nothing_gets_what_is_popular(client: TestClient) -> None:
    answer = ask(client, profile={"name": "x"}, users=5)
    assert answer["fallback"] == {"used": True, "reason": "insufficient_content"}
    found = answer["id_embedding"]
    assert (found["source"], found["method"], found["confidence"]) == ("centroid", "popularity", 0)
    assert len(answer["users"]) == 5
    assert len(answer["neighbours"]) == 10
    assert all(n["score"] is None for n in answer["neighbours"])


@pytest.mark.slow
def test_a_category_has_a_centroid_of_its_own(client: TestClient, handed: HandOver) -> None:
    last = 0
    for streamer_id in handed.ids[50:60]:
        last = put(client, streamer_id, bio=" ".join(WORDS[:4]), category="pottery")
    wait_until_visible(client, last)
    send(client, "wednesday", handed.npz(), promote=True).raise_for_status()
    try:
        answer = ask(client, profile={"name": "x", "category": "pottery"})
        assert answer["fallback"]["reason"] == "insufficient_content"
        found = answer["id_embedding"]
        assert (found["source"], found["method"]) == ("centroid", "category")
        np.testing.assert_allclose(found["vector"], handed.vectors[50:60].mean(0), rtol=1e-3)
        assert {n["streamer_id"] for n in answer["neighbours"]} == set(handed.ids[50:60])
    finally:
        promote(client, "monday")


@pytest.mark.usefixtures("handed")
def test_labels_that_training_has_not_seen_are_read_as_text(client: TestClient) -> None:
    words = "guitar vocal"
    as_text = ask(client, profile={"bio": words})
    as_tag = ask(client, profile={"tags": [words]})
    assert not as_text["fallback"]["used"]
    assert as_tag["fallback"] == as_text["fallback"]
    assert as_tag["modalities"]["tags"] == "used"
    assert as_tag["modalities"]["bio"] == "absent"


@pytest.mark.usefixtures("handed")
def test_what_is_ready_by_the_deadline_is_answered(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from service.engine.work.search_pool import SearchPool

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(SearchPool, "run", never)
    answer = ask(client, profile=PROFILE, users=5, deadline_ms=50)
    assert answer["complete"] is False
    assert set(answer["missing"]) == {"id_embedding", "neighbours", "users"}
    assert "deadline_ms" in answer["incomplete_because"]
    assert answer["fallback"] == {"used": True, "reason": "deadline"}
    assert answer["id_embedding"]["source"] == "centroid"
    assert 50 <= answer["took_ms"] < 5000


def test_a_deadline_holds_while_a_write_is_waited_for(client: TestClient, handed: HandOver) -> None:
    """It was waited for as long as the settings say, and then refused."""
    late = {"users": 5, "deadline_ms": 30, "after_sequence": 1 << 40}
    answer = ask(client, profile=PROFILE, **late)
    assert set(answer["missing"]) == {"id_embedding", "neighbours", "users"}
    assert answer["fallback"] == {"used": True, "reason": "deadline"}
    took_ms = [answer["took_ms"], *(ask(client, profile=PROFILE, **late)["took_ms"] for _ in "12")]
    assert min(took_ms) < 2000  # that of the settings; a busy machine makes a single one late
    own = ask(client, streamer_id=handed.ids[FEW + 5], **late)
    assert (own["id_embedding"]["source"], own["complete"]) == ("own", False)
    assert set(own["missing"]) == {"neighbours", "users"}
    bundle = ask(client, profile=PROFILE, **late | {"space": "test-ids"})
    assert set(bundle["missing"]) == {"id_embedding", "neighbours"}
    refused = {"space": "als", "profile": PROFILE, **late, "deadline_ms": 60_000}
    assert client.post("/v1/cold-start", json=refused).json()["code"] == "not_yet_visible"


def test_an_own_vector_needs_no_profile_and_strangers_are_refused(
    client: TestClient, handed: HandOver
) -> None:
    refused = client.post("/v1/cold-start", json={"space": "als", "streamer_id": "nobody"})
    assert refused.status_code == 404
    last = client.delete(f"/v1/streamers/{handed.ids[40]}").json()["sequence"]
    found = ask(client, streamer_id=handed.ids[40], after_sequence=last)
    assert found["id_embedding"]["source"] == "own"
    assert handed.ids[40] not in {
        n["streamer_id"] for n in ask(client, profile=PROFILE, neighbours=1000)["neighbours"]
    }


@pytest.mark.usefixtures("handed")
def test_the_space_may_be_left_out_where_it_is_clear_and_must_be_known(client: TestClient) -> None:
    other = client.post("/v1/cold-start", json={"profile": PROFILE, "space": "other"})
    assert other.status_code == 422
    assert other.json()["errors"][0]["pointer"] == "/space"
    assert "als" in other.json()["detail"]


@pytest.mark.usefixtures("handed")
def test_a_generation_that_is_not_loaded_yet_is_not_replaced_by_the_bundle(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ActiveSpaces, "get", lambda *_: None)
    answer = client.post("/v1/cold-start", json={"space": "als", "profile": PROFILE})
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    assert "Retry-After" in answer.headers


@pytest.mark.slow
@pytest.mark.usefixtures("handed")
def test_many_questions_in_one_request(client: TestClient) -> None:
    lines = [
        json.dumps({"space": "als", "profile": PROFILE, "users": 3}),
        "",
        json.dumps({"space": "als", "streamer_id": "nobody"}),
        "{",
        json.dumps({"space": "als", "streamer_id": "s005", "neighbours": 0}),
        json.dumps({"space": "als", "streamer_id": "s100"}),
    ]
    answer = client.post(
        "/v1/cold-start:batch",
        content="\n".join(lines),
        headers={"Content-Type": "application/x-ndjson"},
    )
    assert answer.status_code == 200
    found = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["line"] for line in found] == [1, 3, 4, 5, 6]
    assert len(found[0]["answer"]["users"]) == 3
    assert found[1]["problem"]["code"] == "streamer_not_found"
    assert found[2]["problem"]["code"] == "malformed_body"
    assert found[3]["problem"]["errors"][0]["pointer"] == "/neighbours"
    assert found[4]["answer"]["id_embedding"]["source"] == "own"
    empty = client.post(
        "/v1/cold-start:batch", content="\n", headers={"Content-Type": "application/x-ndjson"}
    )
    assert empty.status_code == 422
    as_json = client.post("/v1/cold-start:batch", json={"profile": PROFILE})
    assert as_json.status_code == 415
