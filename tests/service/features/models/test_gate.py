"""The gate on what people decided: a good model passes, broken ones are stopped."""

import itertools
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.engine.replica.follower import Follower
from service.features.models.comparing import neighbours
from service.features.models.comparing.keeping import COMPARISONS, Comparisons
from service.features.models.comparing.neighbours import skewness
from service.features.models.comparing.records import (
    Answering,
    ChangedNeighbours,
    Comparison,
    Neighbours,
    RatedQuestions,
)
from service.store.documents import Put
from service.store.redis.documents.store import RedisDocuments
from tests.service.features.models.comparing import (
    BAD,
    COPIES,
    FIRST,
    GOOD,
    UPSIDE_DOWN,
    compared,
    decide_alerts,
    decide_case,
    fill,
    flips,
    judge,
    opened,
    rate,
    ready,
    write_models,
)
from tests.service.features.models.test_life_cycle import model

KINDS = ("judgements", "verdicts", "alerts", "ratings")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def client(folder: Path, tmp_path: Path) -> Iterator[TestClient]:
    with opened(folder, tmp_path / "data") as client:
        fill(client)
        yield client


def promoted(client: TestClient, name: str, **params: Any) -> dict[str, Any]:
    answer = client.post(f"/v1/models/{name}:promote", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(client: TestClient, name: str) -> str:
    """Why a promotion was refused by the gate; nothing changes by it."""
    answer = client.post(f"/v1/models/{name}:promote")
    assert (answer.status_code, answer.json()["code"]) == (409, "model_gate_failed"), answer.text
    assert model(client, name)["state"] == "ready"
    return str(answer.json()["detail"])


def statuses(report: dict[str, Any]) -> dict[str, str]:
    return {each["kind"]: each["status"] for each in report["outcomes"]}


def counted(client: TestClient, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


@pytest.mark.slow
def test_a_good_model_passes_and_a_shuffled_one_is_stopped(client: TestClient) -> None:
    judge(client)
    rate(client)
    decide_case(client)
    decide_alerts(client)
    ready(client, "bad", BAD)
    assert model(client, BAD)["gate"]["state"] == "not_compared"
    assert f"POST /v1/models/{BAD}:compare" in refused(client, BAD)
    found = compared(client, BAD)
    assert (found["compared_with"], found["status"]) == (FIRST, "failed")
    assert statuses(found) == dict.fromkeys(KINDS, "unclear") | {"ratings": "failed"}
    rated = found["ratings"]
    assert (rated["stored"], rated["compared"], rated["missing"]) == (8, 8, 0)
    assert rated["difference"]["mean"] < -0.2
    assert rated["difference"]["high"] < 0
    # Others of the topic that nobody rated count as not relevant, as they do for both models.
    assert rated["before"]["ndcg_among"]["mean"] > 0.5
    assert 0 < rated["before"]["coverage"] <= 1
    listed = flips(client, BAD, "ratings", limit=3)
    assert len(listed) == found["flips"]["ratings"] == 8
    assert listed[0]["is_lost"]
    assert [e["after"] - e["before"] for e in listed] == sorted(
        e["after"] - e["before"] for e in listed
    )
    assert "ratings: NDCG@10 of rated streamers" in refused(client, BAD)
    assert model(client, BAD)["gate"]["state"] == "failed"
    assert counted(client, "streamer_model_promotions_refused_total") == 2
    assert counted(client, 'streamer_model_comparisons_total{status="failed"}') == 1
    # Whoever says so may, and that is noted.
    forced = promoted(client, BAD, force=True)
    assert forced["state"] == "active"
    assert "promoted by force: ratings" in forced["warnings"][0]
    entries = client.get("/v1/audit", params={"limit": 1000}).json()["entries"]
    assert "force model promotion" in {each["action"] for each in entries}
    client.post("/v1/models:rollback").raise_for_status()
    client.post(f"/v1/models/{BAD}:retire").raise_for_status()
    # A model that was trained again.
    ready(client, "good", GOOD)
    found = compared(client, GOOD)
    assert statuses(found) == dict.fromkeys(KINDS, "unclear")  # none is lost, of few
    by_kind = {each["kind"]: each for each in found["agreements"]}
    assert (by_kind["judgements"]["stored"], by_kind["judgements"]["missing"]) == (2 * COPIES, 0)
    assert by_kind["judgements"]["agree_before"] == by_kind["judgements"]["compared"] == 2 * COPIES
    assert (by_kind["verdicts"]["compared"], by_kind["verdicts"]["agree_after"]) == (6, 6)
    assert by_kind["alerts"]["compared"] == by_kind["alerts"]["agree_before"] >= COPIES
    near = found["neighbours"]
    assert (near["sample"], near["k"]) == (30, 10)
    assert 0.3 < near["overlap"] <= 1
    assert near["low_overlap"] <= near["overlap"]
    assert near["before"]["recall"] == near["after"]["recall"] == 1
    assert near["before"]["median_ms"] <= near["before"]["p95_ms"]
    assert model(client, GOOD)["gate"]["state"] == "unclear"
    assert "of 6 confirmed judgements 0 lost" in promoted(client, GOOD)["warnings"][0]


@pytest.mark.slow
def test_evidence_that_is_upside_down_is_stopped(client: TestClient) -> None:
    judge(client)
    case_id, list_id = decide_case(client), decide_alerts(client)
    ready(client, "upside-down", UPSIDE_DOWN)
    found = compared(client, UPSIDE_DOWN)
    stopped = dict.fromkeys(KINDS, "failed") | {"ratings": "none_stored"}
    assert statuses(found) == stopped
    lost = flips(client, UPSIDE_DOWN, "judgements", limit=2)
    assert len(lost) == found["flips"]["judgements"] >= COPIES
    pairs = {tuple(each["ids"]) for each in lost if each["said"] == "same"}
    assert pairs == {(f"cooking-{i:02}", f"copy-of-cooking-{i:02}") for i in range(COPIES)} or (
        pairs == {(f"copy-of-cooking-{i:02}", f"cooking-{i:02}") for i in range(COPIES)}
    )
    for each in lost:
        if each["said"] == "same":
            assert each["before"] >= each["threshold_before"]
            assert each["after"] < each["threshold_after"]
            assert each["is_lost"]
    assert {each["context"] for each in flips(client, UPSIDE_DOWN, "verdicts")} == {case_id}
    assert {each["context"] for each in flips(client, UPSIDE_DOWN, "alerts")} == {list_id}
    assert "judgements: of 6 confirmed judgements 6 lost" in refused(client, UPSIDE_DOWN)
    (judged,) = [t for t in found["thresholds"] if t["kind"] == "judgements"]
    assert judged["precision_before"] == judged["recall_before"] == 1
    assert judged["recall_after"] == 0


@pytest.mark.slow
def test_where_nobody_decided_anything_the_answer_says_so(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[str] = set()

    def noting(counts: Sequence[int], total: int) -> float:
        threads.add(threading.current_thread().name)
        return skewness(counts, total)

    monkeypatch.setattr(neighbours, "skewness", noting)
    ready(client, "bad", BAD)
    assert client.get(f"/v1/models/{BAD}/comparison").json()["code"] == "comparison_not_found"
    found = compared(client, BAD, sample=5)
    assert (found["status"], found["neighbours"]["sample"]) == ("no_human_work", 5)
    assert set(statuses(found).values()) == {"none_stored"}
    assert all(name.startswith("lanes-") for name in threads)  # others have the event loop
    assert threads
    assert model(client, BAD)["gate"]["state"] == "no_human_work"
    # What comes after the comparison was not replayed.
    judge(client)
    assert "came after it was compared" in refused(client, BAD)
    for i in range(COPIES):
        for other in (f"copy-of-cooking-{i:02}", f"music-{i:02}"):
            pair = {"a": f"cooking-{i:02}", "b": other}
            client.delete("/v1/judgements", params=pair).raise_for_status()
    (warning,) = promoted(client, BAD)["warnings"]
    assert "nothing that people decided could be replayed" in warning


@pytest.mark.slow
def test_few_decisions_are_no_measure(folder: Path, tmp_path: Path) -> None:
    with opened(folder, tmp_path / "data", gate_fewest=20) as client:
        fill(client)
        judge(client)
        ready(client, "upside-down", UPSIDE_DOWN)
        assert statuses(compared(client, UPSIDE_DOWN))["judgements"] == "too_few"
        (warning,) = promoted(client, UPSIDE_DOWN)["warnings"]
        assert "12 judgements could be replayed, 20 are needed" in warning


@pytest.mark.slow
def test_a_model_passes_where_enough_is_kept(folder: Path, tmp_path: Path) -> None:
    with opened(folder, tmp_path / "data", gate_agreement_loss=0.5) as client:
        fill(client)
        judge(client)
        ready(client, "good", GOOD)
        assert compared(client, GOOD)["status"] == "passed"
        assert model(client, GOOD)["gate"] == {"state": "passed", "reasons": []}
        assert promoted(client, GOOD)["warnings"] == []


@pytest.mark.slow
def test_a_comparison_says_nothing_of_another_moment(folder: Path, tmp_path: Path) -> None:
    with opened(folder, tmp_path / "data", gate_max_age_s=1e-6) as client:
        fill(client)
        judge(client)
        answer = client.post(f"/v1/models/{FIRST}:compare")
        assert (answer.status_code, answer.json()["code"]) == (409, "model_state_conflict")
        assert "is active itself" in answer.json()["detail"]
        ready(client, "good", GOOD)
        compared(client, GOOD)
        assert "its comparison is 0.0 h old" in refused(client, GOOD)
        promoted(client, GOOD, force=True)
        # The way back needs no comparison.
        client.post("/v1/models:rollback").raise_for_status()
        assert model(client, GOOD)["gate"]["state"] == "not_compared"


@pytest.mark.slow
def test_an_erasure_keeps_a_report_that_was_made_meanwhile(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = client.app_state["services"].models._registry._documents  # type: ignore[index]
    kept, answering = Comparisons(documents), Answering(1, 1, 0, 0, 1)
    changed = [ChangedNeighbours(name, 0.5) for name in ("gone", "other")]
    near = Neighbours(2, 10, 0.5, 0.5, 0, 0.5, answering, answering, changed)
    rated = RatedQuestions(0, 0, 0, 10, 100)
    old = Comparison(GOOD, "", FIRST, "old", 0, "no_human_work", [], [], [], rated, near, {})
    new = replace(old, job_id="new")
    change, later = RedisDocuments.change, [new]

    async def beaten(self: RedisDocuments, puts: Sequence[Put], *more: Any) -> list[int]:
        if later and puts[0].collection == COMPARISONS:
            await kept.put(later.pop())
        return await change(self, puts, *more)

    assert client.portal is not None
    client.portal.call(kept.put, old)
    monkeypatch.setattr(RedisDocuments, "change", beaten)
    assert client.portal.call(kept.erase, "gone") == 1
    found = client.portal.call(kept.get, GOOD)
    assert found is not None
    assert found.neighbours is not None
    assert found.job_id == "new"
    assert [each.streamer_id for each in found.neighbours.changed] == ["other"]


@pytest.mark.slow
def test_again_it_finds_the_same_and_forgets_who_is_erased(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(client)
    rate(client)
    ready(client, "bad", BAD)
    first, listed = compared(client, BAD), flips(client, BAD, "ratings")
    asked = itertools.count()

    def behind_for(_follower: Follower, _longer_than_s: float) -> str | None:
        return "the store is gone" if next(asked) in {20, 40, 60} else None

    with monkeypatch.context() as troubled:  # the work waits until that is over
        troubled.setattr(Follower, "behind_for", behind_for)
        again = compared(client, BAD)
    assert next(asked) > 60
    for each in (first, again):
        for name in ("at", "job_id"):
            each.pop(name)
        for side in ("before", "after"):
            for name in ("median_ms", "p95_ms"):
                each["neighbours"][side].pop(name)
    assert again == first
    assert flips(client, BAD, "ratings") == listed
    gone = listed[0]["ids"][0]
    client.delete(f"/v1/streamers/{gone}", params={"erase": True}).raise_for_status()
    assert gone not in str(flips(client, BAD, "ratings"))
    report = client.get(f"/v1/models/{BAD}/comparison").json()
    assert gone not in str(report)
