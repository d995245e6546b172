"""A shadow is asked what live callers ask, and its report is right on all replicas."""

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.features.models.live import shadowing
from service.features.models.live.counting import ShadowCounts
from service.index.base import VectorIndex
from tests.bundles import DIM, TOPICS
from tests.service.conftest import put
from tests.service.features.models.comparing import FIRST, GOOD, fill, opened, ready, write_models
from tests.service.features.models.live.asking import asked, ids_of, report, shadowed
from tests.service.process import wait_until

SEEDS = [f"{topic}-{i:02}" for topic in TOPICS for i in range(5)]
PROFILE = {"positive": [{"profile": {"bio": TOPICS["music"]}}], "k": 10}
FILTERED = {"positive": [{"streamer_id": "cooking-01"}], "min_score": 0.999999, "k": 5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def client(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with opened(folder, tmp_path_factory.mktemp("shadow")) as client:
        fill(client)
        ready(client, "good", GOOD)
        yield client


def answers(client: TestClient) -> list[list[str]]:
    """To all questions; ten hits at most, as equal scores have no order beyond those."""
    found = [asked(client, seed) for seed in SEEDS]
    for body in (PROFILE, FILTERED):
        answer = client.post("/v1/similar", json=body)
        answer.raise_for_status()
        found.append(answer.json())
    return [ids_of(answer) for answer in found]


@pytest.mark.slow
def test_its_report_is_what_both_models_answer(client: TestClient) -> None:
    shown = shadowed(client, GOOD, sample=1, anew=True)
    assert (shown["state"], shown["shadow_sample"]) == ("shadow", 1)
    before = answers(client)
    # What means something to one model alone, and what only the active one can answer.
    vector = {"positive": [{"vector": [1.0] * DIM}]}
    client.post("/v1/similar", json=vector).raise_for_status()
    count = len(before)
    found = report(client, GOOD, count + 1)
    assert found["dropped"] == {"unsuitable": 1}
    assert (found["model_version"], found["compared_with"]) == (GOOD, FIRST)
    ended = shadowed(client, GOOD, sample=0)
    assert (ended["state"], ended["shadow_sample"]) == ("ready", 0)
    client.post(f"/v1/models/{GOOD}:promote").raise_for_status()
    after = answers(client)
    pairs = [(a, b) for a, b in zip(before, after, strict=True) if a or b]
    shared = [len({*a} & {*b}) / max(len(a), len(b)) for a, b in pairs]
    assert found["compared"] == count
    assert found["overlap"]["mean"] == pytest.approx(statistics.mean(shared), abs=1e-6)
    half = 1.959964 * statistics.stdev(shared) / len(shared) ** 0.5
    assert found["overlap"]["low"] == pytest.approx(statistics.mean(shared) - half, abs=1e-5)
    same = [a[:1] == b[:1] for a, b in pairs]
    assert found["same_first"] == pytest.approx(statistics.mean(same), abs=1e-6)
    moved = [abs(a.index(name) - b.index(name)) for a, b in pairs for name in a if name in b]
    assert found["rank_change"] == pytest.approx(statistics.mean(moved), abs=1e-6)
    for side, theirs in (("active", before), ("shadow", after)):
        mine = found[side]
        hubs = Counter(name for answer in theirs for name in answer)
        assert mine["answered"] == count
        assert mine["empty"] == sum(not answer for answer in theirs)
        assert mine["largest_hub"] == pytest.approx(max(hubs.values()) / count, abs=1e-6)
        assert all(hubs[each["streamer_id"]] == each["answers"] for each in mine["hubs"])
        assert mine["hub_error"] == mine["failed"] == 0
        assert mine["recall"]["mean"] == 1  # all are scanned
        assert 0 < mine["p50_ms"] <= mine["p99_ms"]
    least = min(shared)
    assert least < 1  # or there would be nothing to show
    first = found["changes"][0]
    place = SEEDS.index(first["seeds"][0]) if first["seeds"] != ["cooking-01"] else None
    assert first["overlap"] == pytest.approx(least, abs=1e-6)
    if place is not None:
        assert (first["active"], first["shadow"]) == (before[place], after[place])
    assert len(found["changes"]) <= 20
    assert all(set(each["seeds"]) <= set(SEEDS) for each in found["changes"])
    # The promotion has ended it, and the report of what was compared before stays.
    asked(client, SEEDS[0])
    client.post("/v1/models:rollback").raise_for_status()
    asked(client, SEEDS[0])
    assert client.get(f"/v1/models/{GOOD}/shadow").json()["sampled"] == count + 1


def test_answers_do_not_change_and_what_has_no_room_is_dropped(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [asked(client, seed)["hits"] for seed in SEEDS]
    monkeypatch.setattr(shadowing, "_MOST_WAITING", 0)
    shadowed(client, GOOD, sample=1, anew=True)
    during = [asked(client, seed) for seed in SEEDS]
    assert [answer["hits"] for answer in during] == before
    assert {answer["model_version"] for answer in during} == {FIRST}
    assert report(client, GOOD, len(SEEDS))["dropped"] == {"queue_full": len(SEEDS)}
    monkeypatch.setattr(shadowing, "_MOST_WAITING", 64)
    monkeypatch.setattr(shadowing, "_DEADLINE_S", -1)
    shadowed(client, GOOD, sample=1, anew=True)
    asked(client, SEEDS[0])
    assert report(client, GOOD, 1)["dropped"] == {"late": 1}
    monkeypatch.setattr(shadowing, "_MOST_BYTES", 10)
    client.post("/v1/similar", json=PROFILE).raise_for_status()
    assert report(client, GOOD, 2)["dropped"] == {"late": 1, "queue_full": 1}
    shadowed(client, GOOD, sample=0)
    asked(client, SEEDS[0])
    assert report(client, GOOD, 2)["sampled"] == 2
    # Another share goes on with a report, and one that was ended begins anew.
    shadowed(client, GOOD, sample=0.5)
    assert report(client, GOOD, 0)["sampled"] == 0
    shadowed(client, GOOD, sample=1)
    asked(client, SEEDS[0])
    shadowed(client, GOOD, sample=0.5)
    assert report(client, GOOD, 1)["sampled"] == 1


def test_who_is_erased_is_in_no_report(client: TestClient) -> None:
    shown = client.get("/v1/streamers/cooking-00").json()["profile"]
    put(client, "gone", bio=shown["bio"], tags=shown["tags"])
    shadowed(client, GOOD, sample=1, anew=True)
    for seed in [*SEEDS, "gone"]:
        asked(client, seed)
    report(client, GOOD, len(SEEDS) + 1)
    kept = client.app_state["services"].live.reports  # type: ignore[index]
    assert client.portal is not None
    assert "gone" in client.portal.call(kept.get, GOOD).names()
    client.delete("/v1/streamers/gone", params={"erase": True}).raise_for_status()
    shadowed(client, GOOD, sample=0)
    assert "gone" not in client.portal.call(kept.get, GOOD).names()


def test_a_replica_that_is_behind_takes_nobody_out_of_the_report(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its index did not have who was written elsewhere a moment ago."""
    shadowed(client, GOOD, sample=1, anew=True)
    for seed in SEEDS:
        asked(client, seed)
    report(client, GOOD, len(SEEDS))
    live = client.app_state["services"].live  # type: ignore[index]
    shadow, portal = live._shadow, client.portal
    assert portal is not None
    before = portal.call(live.reports.get, GOOD)
    counts = ShadowCounts(GOOD, FIRST, before.run, 0.0, sampled=1)
    counts.compare(SEEDS[:1], SEEDS[1:2], SEEDS[2:3])

    async def lacks_all(_index: VectorIndex, ids: Sequence[str]) -> list[None]:
        return [None for _ in ids]

    with monkeypatch.context() as patched:
        for model in shadow._models:
            patched.setattr(type(model.follower.index), "get", lacks_all)
        shadow._number += 1
        portal.call(shadow._add, shadowing._Part(counts, shadow._number))
    after = portal.call(live.reports.get, GOOD)
    assert after.compared == len(SEEDS) + 1
    assert after.active.hubs.counts == before.active.hubs.counts != {}
    assert after.changes[0] in counts.changes
    shadowed(client, GOOD, sample=0)


@pytest.mark.slow
def test_it_goes_on_after_a_restart(folder: Path, tmp_path: Path) -> None:
    with opened(folder, tmp_path / "data") as client:
        fill(client)
        client.post("/v1/models", json={"folder": "good"}).raise_for_status()
        early = client.post(f"/v1/models/{GOOD}:shadow", json={"sample": 1})
        assert early.status_code == 409
        assert "is not backfilled: backfill it first" in early.json()["detail"]
        assert client.get(f"/v1/models/{GOOD}/shadow").json()["code"] == "shadow_not_found"
        ready(client, "good", GOOD)
        shadowed(client, GOOD, sample=1)
        for seed in SEEDS[:3]:
            asked(client, seed)
        report(client, GOOD, 3)
    with opened(folder, tmp_path / "data") as client:
        wait_until(lambda: client.get("/readyz").status_code == 200, "it is ready")

        def is_open() -> bool:
            shown = client.get(f"/v1/models/{GOOD}").json()
            indexed = [replica["is_indexed"] for replica in shown["replicas"]]
            return shown["state"] == "shadow" and indexed != [] and all(indexed)

        wait_until(is_open, "the shadow is there again")
        for seed in SEEDS[:4]:
            asked(client, seed)
        found = report(client, GOOD, 7)
        assert (found["compared"], found["replicas"]) == (7, 2)


def test_bad_input(client: TestClient) -> None:
    for sample in (-0.1, 1.1, "x", None, True):
        answer = client.post(f"/v1/models/{GOOD}:shadow", json={"sample": sample})
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["pointer"] == "/sample"
    refused = {
        "nobody": (404, "there is no model"),
        FIRST: (409, "is active itself"),
    }
    client.post("/v1/models", json={"folder": "bad"}).raise_for_status()
    refused["test-2"] = (409, f"model '{GOOD}' is kept beside the active one")
    for name, (status, detail) in refused.items():
        for action, body in (("shadow", {"sample": 1}), ("canary", {"share": 0.5})):
            answer = client.post(f"/v1/models/{name}:{action}", json=body)
            assert answer.status_code == status, answer.text
            assert detail in answer.json()["detail"]
