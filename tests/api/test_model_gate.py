"""A model is compared on what people decided before it may answer."""

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest

from model_export.contract.bundle import MANIFEST, file_entry
from model_export.contract.evidence import EVIDENCE, packaged
from tests.support import planted
from tests.support.api import Api, wrong_fields
from tests.support.bundles import TOPICS, write_manifest
from tests.support.service import wait_until

FIRST, GOOD, BAD, UPSIDE_DOWN = "test-0", "test-1", "test-2", "test-3"
EACH, COPIES = 12, 6
"""Streamers of a topic; those of cooking who have a copy."""
KINDS = ("judgements", "verdicts", "alerts", "ratings")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of bundles: that which answers, a good one, and two that are broken."""
    folder = tmp_path_factory.mktemp("models")
    planted.model(folder / "first", planted.learned)
    planted.model(folder / GOOD, planted.learned_again, seed=1)
    planted.model(folder / BAD, planted.shuffled, seed=2)
    turn_upside_down(planted.model(folder / UPSIDE_DOWN, planted.learned_again, seed=3))
    return folder


def turn_upside_down(bundle: Path) -> None:
    """Evidence that takes what is the same for what is not."""
    known = packaged()
    turned = {
        name: each.model_copy(update={"m": each.u, "u": each.m})
        for name, each in known.channels.items()
    }
    content = known.model_copy(update={"channels": turned}).model_dump_json().encode()
    (bundle / EVIDENCE).write_bytes(content)
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"][EVIDENCE] = file_entry(content).model_dump()
    write_manifest(bundle, manifest)


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Path:
    return folder / "first"


@pytest.fixture(scope="module")
def settings(folder: Path) -> dict[str, str]:
    known = {"GATE_FEWEST": 4, "GATE_FEWEST_QUESTIONS": 4, "COMPARE_SAMPLE": 30, "FOLDER": folder}
    variables = {f"STREAMER_MODELS__{name}": str(value) for name, value in known.items()}
    return {**variables, "STREAMER_DUPLICATES__EVALUATE": "false"}


def judge(api: Api, one: str, other: str, verdict: str) -> None:
    api.ok("PUT", "/v1/judgements", {"a": one, "b": other, "verdict": verdict})


@pytest.fixture(scope="module")
def decided(api: Api) -> dict[str, str]:
    """What people decided with the first model; the ids of the case and of the watchlist."""
    drawn, profiles = random.Random(3), list[dict[str, Any]]()
    for topic, words in TOPICS.items():
        for i in range(EACH):
            word = drawn.choice(words.split())
            bio = f"{word} {word} {drawn.getrandbits(60):x} {drawn.getrandbits(60):x}"
            profiles.append({"streamer_id": f"{topic}-{i:02}", "bio": bio, "tags": [word]})
            if topic == "cooking" and i < COPIES:
                profiles.append({**profiles[-1], "streamer_id": f"copy-{i:02}"})
    api.write(profiles)
    for i in range(COPIES):
        judge(api, f"cooking-{i:02}", f"copy-{i:02}", "same")
        judge(api, f"cooking-{i:02}", f"music-{i:02}", "different")
    for topic in TOPICS:
        for seed, other in itertools.product((1, 7), TOPICS):
            for i in range(2, 6):
                question = {"positive": [f"{topic}-{seed:02}"]}
                rating = {"question": question, "streamer_id": f"{other}-{i:02}"}
                api.ok("PUT", "/v1/ratings", rating | {"rating": 3 if other == topic else 0})
    return {"verdicts": decided_case(api), "alerts": decided_alerts(api)}


def decided_case(api: Api) -> str:
    copies = [f"copy-{i:02}" for i in range(3)]
    strangers = [f"gaming-{i:02}" for i in range(1, 4)]
    seeds = [*(f"cooking-{i:02}" for i in range(3)), *copies, *strangers]
    made = api.post("/v1/cases", json={"title": "a ring", "seeds": seeds})
    case_id, etag = made.json()["case_id"], made.headers["etag"]
    for name in (*copies, *strangers):
        path = f"/v1/cases/{case_id}/members/{name}"
        verdict = {"verdict": "confirmed" if name in copies else "cleared"}
        answer = api.put(path, json=verdict, headers={"If-Match": etag})
        assert answer.status_code == 200, answer.text
        etag = answer.headers["etag"]
    return case_id


def decided_alerts(api: Api) -> str:
    seeds = [{"streamer_id": f"cooking-{i:02}"} for i in range(COPIES)]
    asked = {"name": "scams", "mode": "on", "positive": seeds, "min_probability": 0.9}
    list_id = api.ok("POST", "/v1/watchlists", asked, status=201)["watchlist_id"]
    path = f"/v1/watchlists/{list_id}"
    wait_until(lambda: api.ok("GET", path)["sweep"]["state"] == "done", "the list is swept")
    for alert in api.ok("GET", "/v1/alerts", params={"watchlist_id": list_id})["alerts"]:
        api.ok("PUT", f"/v1/alerts/{alert['alert_id']}", {"state": "confirmed"})
    return list_id


def model(api: Api, name: str) -> dict[str, Any]:
    return api.ok("GET", f"/v1/models/{name}")


def ready(api: Api, name: str) -> None:
    """Have a model beside the first one, in place of any other, whose index is complete."""
    if model(api, FIRST)["state"] != "active":
        api.ok("POST", "/v1/models:rollback")
    for other in api.ok("GET", "/v1/models")["models"]:
        if other["state"] == "ready":
            api.ok("POST", f"/v1/models/{other['model_version']}:retire")
    api.ok("POST", "/v1/models", {"folder": name}, status=201)
    api.finished(api.ok("POST", f"/v1/models/{name}:backfill", status=202))

    def is_ready() -> bool:
        shown = model(api, name)
        return shown["state"] == "ready" and shown["replicas"][0]["is_indexed"]

    wait_until(is_ready, "it is ready")


def compared(api: Api, name: str, **params: Any) -> dict[str, Any]:
    """The report of a comparison that is made now."""
    job = api.finished(api.ok("POST", f"/v1/models/{name}:compare", status=202, params=params))
    found = api.ok("GET", f"/v1/models/{name}/comparison")
    assert found["job_id"] == job["job_id"]
    return found


def flips(api: Api, name: str, kind: str, limit: int = 1000) -> list[dict[str, Any]]:
    return api.all(f"/v1/models/{name}/comparison/flips", "flips", kind=kind, limit=limit)


def statuses(report: dict[str, Any]) -> dict[str, str]:
    return {each["kind"]: each["status"] for each in report["outcomes"]}


def stopped(api: Api, name: str) -> str:
    """Why a promotion is refused; nothing changes by it."""
    path = f"/v1/models/{name}:promote"
    detail = api.refused("POST", path, status=409, code="model_gate_failed")["detail"]
    assert model(api, name)["state"] == "ready"
    assert api.get("/readyz").json()["model_version"] == FIRST
    return detail


def counted(api: Api, name: str) -> float:
    lines = api.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def test_a_model_that_contradicts_what_people_decided_is_stopped(
    api: Api, decided: dict[str, str]
) -> None:
    ready(api, UPSIDE_DOWN)
    found = compared(api, UPSIDE_DOWN)
    assert (found["model_version"], found["compared_with"]) == (UPSIDE_DOWN, FIRST)
    assert found["status"] == "failed"
    told = statuses(found)
    assert {told[kind] for kind in ("judgements", "verdicts", "alerts")} == {"failed"}
    (judged,) = [each for each in found["agreements"] if each["kind"] == "judgements"]
    assert (judged["stored"], judged["compared"], judged["missing"]) == (2 * COPIES, 2 * COPIES, 0)
    assert judged["confirmed"]["decisions"] == judged["confirmed"]["agree_before"] == COPIES
    assert (judged["confirmed"]["agree_after"], judged["confirmed"]["lost"]) == (0, COPIES)
    (outcome,) = [each for each in found["outcomes"] if each["kind"] == "judgements"]
    assert (outcome["measured"], outcome["limit"]) == (1, 0.05)
    (threshold,) = [each for each in found["thresholds"] if each["kind"] == "judgements"]
    assert threshold["precision_before"] == threshold["recall_before"] == 1
    assert threshold["recall_after"] == 0
    listed = flips(api, UPSIDE_DOWN, "judgements", limit=2)
    assert listed == flips(api, UPSIDE_DOWN, "judgements")
    assert len(listed) == found["flips"]["judgements"] >= COPIES
    lost = [each for each in listed if each["said"] == "same"]
    pairs = {frozenset(each["ids"]) for each in lost}
    assert pairs == {frozenset((f"cooking-{i:02}", f"copy-{i:02}")) for i in range(COPIES)}
    for each in lost:
        assert each["is_lost"]
        assert each["before"] >= each["threshold_before"]
        assert each["after"] < each["threshold_after"]
    for kind in ("verdicts", "alerts"):
        found_flips = flips(api, UPSIDE_DOWN, kind)
        assert {each["context"] for each in found_flips} == {decided[kind]}
        assert len(found_flips) == found["flips"][kind]
    assert model(api, UPSIDE_DOWN)["gate"]["state"] == "failed"
    refused = "streamer_model_promotions_refused_total"
    before, why = counted(api, refused), stopped(api, UPSIDE_DOWN)
    assert all(kind in why for kind in ("judgements", "verdicts", "alerts"))
    wait_until(lambda: counted(api, refused) == before + 1, "the refusal is counted")
    assert counted(api, 'streamer_model_comparisons_total{status="failed"}') >= 1
    # Whoever says so may, and that is noted.
    forced = api.ok("POST", f"/v1/models/{UPSIDE_DOWN}:promote", params={"force": True})
    assert (forced["state"], len(forced["warnings"]) >= 1) == ("active", True)
    entries = api.ok("GET", "/v1/audit", params={"limit": 1000})["entries"]
    assert "force model promotion" in {each["action"] for each in entries}
    # The way back needs no comparison.
    assert api.ok("POST", "/v1/models:rollback")["model_version"] == FIRST


def test_a_model_that_ranks_rated_streamers_worse_is_stopped(
    api: Api, decided: dict[str, str]
) -> None:
    ready(api, BAD)
    assert model(api, BAD)["gate"]["state"] == "not_compared"
    assert f"/v1/models/{BAD}:compare" in stopped(api, BAD)
    found = compared(api, BAD)
    assert statuses(found)["ratings"] == found["status"] == "failed"
    rated = found["ratings"]
    assert (rated["stored"], rated["compared"], rated["missing"]) == (8, 8, 0)
    assert rated["difference"]["mean"] < -0.2
    assert rated["difference"]["high"] < 0
    # Others of the topic that nobody rated count as not relevant, as they do for both models.
    assert rated["before"]["ndcg_among"]["mean"] > 0.5
    assert 0 < rated["before"]["coverage"] <= 1
    listed = flips(api, BAD, "ratings", limit=3)
    assert len(listed) == found["flips"]["ratings"] == 8
    changes = [each["after"] - each["before"] for each in listed]
    assert (changes, listed[0]["is_lost"]) == (sorted(changes), True)
    assert "ratings" in stopped(api, BAD)
    # It finds the same when it is asked again.
    again = compared(api, BAD)
    for report in (found, again):
        for name in ("at", "job_id"):
            report.pop(name)
        for side in ("before", "after"):
            for name in ("median_ms", "p95_ms"):
                report["neighbours"][side].pop(name)
    assert again == found
    assert flips(api, BAD, "ratings") == listed


def test_a_model_that_was_trained_again_may_answer(api: Api, decided: dict[str, str]) -> None:
    ready(api, GOOD)
    found = compared(api, GOOD)
    assert found["status"] == "unclear"  # none is lost, of few
    assert set(statuses(found)) == set(KINDS)
    assert set(statuses(found).values()) <= {"unclear", "passed"}
    by_kind = {each["kind"]: each for each in found["agreements"]}
    judged = by_kind["judgements"]
    assert judged["agree_before"] == judged["compared"] == 2 * COPIES
    assert (by_kind["verdicts"]["compared"], by_kind["verdicts"]["agree_after"]) == (6, 6)
    assert by_kind["alerts"]["compared"] == by_kind["alerts"]["agree_before"] >= COPIES
    near = found["neighbours"]
    assert (near["sample"], near["k"]) == (30, 10)
    assert 0.3 < near["overlap"] <= 1
    assert near["low_overlap"] <= near["overlap"]
    assert near["before"]["recall"] == near["after"]["recall"] == 1
    assert model(api, GOOD)["gate"]["state"] == "unclear"
    promoted = api.ok("POST", f"/v1/models/{GOOD}:promote")
    assert promoted["state"] == "active"
    assert any("judgements" in warning for warning in promoted["warnings"])


def test_who_is_erased_is_in_no_report(api: Api, decided: dict[str, str]) -> None:
    ids = [f"erased-{i}" for i in range(2)]
    api.write({"streamer_id": name, "bio": TOPICS["music"], "tags": ["music"]} for name in ids)
    judge(api, ids[0], ids[1], "same")
    ready(api, UPSIDE_DOWN)
    compared(api, UPSIDE_DOWN, sample=1000)
    assert ids[0] in str(flips(api, UPSIDE_DOWN, "judgements"))
    api.ok("DELETE", f"/v1/streamers/{ids[0]}", params={"erase": True})
    assert ids[0] not in str([flips(api, UPSIDE_DOWN, kind) for kind in KINDS])
    assert ids[0] not in str(api.ok("GET", f"/v1/models/{UPSIDE_DOWN}/comparison"))
    api.ok("DELETE", f"/v1/streamers/{ids[1]}", params={"erase": True})


@pytest.mark.parametrize(
    ("method", "path", "params", "name"),
    [
        ("POST", ":compare", {"sample": 0}, "sample"),
        ("POST", ":compare", {"sample": 10_001}, "sample"),
        ("GET", "/comparison/flips", {"kind": "others"}, "kind"),
        ("GET", "/comparison/flips", {"limit": 0}, "limit"),
        ("GET", "/comparison/flips", {"limit": 1001}, "limit"),
        ("GET", "/comparison/flips", {"cursor": "x"}, "cursor"),
    ],
)
def test_wrong_parameters_are_named(
    api: Api, decided: dict[str, str], method: str, path: str, params: dict[str, Any], name: str
) -> None:
    if api.get(f"/v1/models/{GOOD}/comparison").status_code == 404:
        ready(api, GOOD)
        compared(api, GOOD)
    path = f"/v1/models/{GOOD}{path}"
    problem = api.refused(method, path, status=422, code="invalid_request", params=params)
    assert wrong_fields(problem) == [name]
