"""Jobs of cases, lists, layouts and models whose service, store or both are killed meanwhile.

As in `job_crashes`: in the end a case has one expansion, a list one run, a map each streamer at one
place, a model that was backfilled finds whoever is stored, and a comparison says what it says when
nobody dies meanwhile.
"""

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from httpx import Client

from tests.support.bundles import TOPICS, write_bundle, write_bundle_with_evidence
from tests.reliability.job_crashes import GROUPED, OPTIONS, begun, further, killed
from tests.reliability.model_changes import NEXT, bundles_in, everywhere, model
from tests.reliability.test_case_replicas import evaluated
from tests.support.service import profile
from tests.service.features.layouts.maps import ended as fit_ended
from tests.service.features.layouts.maps import fitted, store, until_placed
from tests.service.features.transfers.waiting import ended, lines_of, submitted
from tests.support.service import Service, wait_until

RING = 200
LISTED = 3000
PLACED = 12
"""Of each topic."""
BACKFILLED = 300
JUDGED = 60
_LATER = {"Prefer": "respond-async"}


def case_round(bundle: Path, data_dir: Path, victims: str, kills: int, seed: int) -> int:
    """One expansion of a ring; how often it was begun. Its bundle has evidence."""
    with_evidence = data_dir.parent / "evidence"
    write_bundle_with_evidence(with_evidence)
    with ExitStack() as running:
        service = running.enter_context(Service(with_evidence, data_dir, **GROUPED))
        service.wait_until_ready().bulk([_of_ring(i) for i in range(RING)])
        last = service.put("stranger", bio=TOPICS["travel"], tags=["travel"])
        wait_until(lambda: evaluated(service, last), "candidates are known")
        body = {"title": "a ring", "seeds": ["s000"]}
        made = service.client.post("/v1/cases", json=body).raise_for_status().json()
        case = f"/v1/cases/{made['case_id']}"
        headers = {**_LATER, "If-Match": f'"{made["revision"]}"'}
        question = {"hops": 5, "budget": 1000}
        path = submitted(service.client.post(f"{case}:expand", headers=headers, json=question))
        moments = begun(victims, kills, seed)
        service = killed(running, service, with_evidence, path, victims, kills, moments, **GROUPED)
        job = ended(service.client, path)
        assert job["state"] == "succeeded", job
        assert job["result"]["run"]["complete"] is True
        shown = service.client.get(case, params={"limit": RING}).raise_for_status().json()
        assert {m["streamer_id"] for m in shown["members"]} == {f"s{i:03}" for i in range(RING)}
        events = service.client.get(f"{case}/events").raise_for_status().json()["events"]
        assert [event["kind"] for event in events] == ["created", "expanded"]
    return job["attempts"]


def _of_ring(i: int) -> dict[str, Any]:
    """Each shares one handle with the one before, and another with the one after it."""
    words = TOPICS["cooking"].split()
    handles = f"telegram: harbour_{9000 + i // 10} or telegram: lunaris{7000 + (i + 5) // 10}"
    return {"streamer_id": f"s{i:03}", "bio": f"{words[i % len(words)]} {handles}"}


def list_round(bundle: Path, data_dir: Path, victims: str, kills: int, seed: int) -> int:
    """One run of a saved list; how often it was begun."""
    with ExitStack() as running:
        service = running.enter_context(Service(bundle, data_dir, **OPTIONS))
        service.wait_until_ready().bulk([profile(i) for i in range(LISTED)])
        ids = {profile(i)["streamer_id"] for i in range(LISTED)}
        wait_until(lambda: service.client.get("/readyz").json()["index_sequence"] == LISTED, "all")
        seed_id = min(ids)
        question = {"positive": [{"streamer_id": seed_id}], "k": LISTED, "explain": "short"}
        body = {"title": "all", "question": question}
        service.client.put("/v1/lists/all", json=body).raise_for_status()
        run = service.client.post("/v1/lists/all:run?format=ndjson", headers=_LATER)
        path = submitted(run)
        moments = begun(victims, kills, seed)
        service = killed(running, service, bundle, path, victims, kills, moments)
        job = ended(service.client, path)
        assert job["state"] == "succeeded", job
        rows = lines_of(service.client.get(path + "/result"))
        assert sorted(r["streamer_id"] for r in rows if "rank" in r) == sorted(ids - {seed_id})
        kept = service.client.get("/v1/lists/all").raise_for_status().json()["runs"]
        assert [one["run"] for one in kept] == [1]
    return job["attempts"]


def layout_round(bundle: Path, data_dir: Path, victims: str, kills: int, seed: int) -> int:
    """One fit of a map; how often it was begun."""
    with ExitStack() as running:
        service = running.enter_context(Service(bundle, data_dir, **OPTIONS))
        store(service.wait_until_ready().client, PLACED)
        path = submitted(service.client.post("/v1/layouts:fit"))
        moments = begun(victims, kills, seed, 5)
        service = killed(running, service, bundle, path, victims, kills, moments)
        job = fit_ended(service.client, path)
        assert job["state"] == "succeeded", job
        count = PLACED * len(TOPICS)
        assert (job["result"]["fitted"], job["result"]["streamers"]) == (count, count)
        until_placed(service.client, count)
        again = fitted(service.client)
        assert again["shared"] == count
    return job["attempts"]


def backfill_round(bundle: Path, data_dir: Path, victims: str, kills: int, seed: int) -> int:
    """One backfill of the next model, beside writes; how often it was begun."""
    folder = bundles_in(data_dir.parent / "models", bundle, partial(write_bundle, seed=1))
    settings: dict[str, Any] = {"STREAMER_MODELS__FOLDER": str(folder)}
    with ExitStack() as running:
        service = running.enter_context(Service(bundle, data_dir, **OPTIONS, **settings))
        service.wait_until_ready().bulk([profile(i) for i in range(BACKFILLED)])
        service.client.post("/v1/models", json={"folder": "next"}).raise_for_status()
        wait_until(everywhere(service, "has_bundle", 1), "the bundle is known")
        pace = {"streamers_per_s": 300}
        path = submitted(service.client.post(f"/v1/models/{NEXT}:backfill", params=pace))
        service.put("beside", tags=["travel"])
        service.client.delete(f"/v1/streamers/{profile(7)['streamer_id']}").raise_for_status()
        moments = further(victims, kills, seed, BACKFILLED // (kills + 1))
        service = killed(running, service, bundle, path, victims, kills, moments, **settings)
        job = ended(service.client, path)
        assert job["state"] == "succeeded", job
        wait_until(lambda: model(service)["state"] == "ready", "it may answer")
        wait_until(everywhere(service, "is_indexed", 1), "its index is complete")
        wait_until(lambda: len(model(service)["replicas"]) == 1, "the dead one is forgotten")
        before = service.similar(bio=TOPICS["travel"])
        service.client.post(f"/v1/models/{NEXT}:promote").raise_for_status()
        assert service.similar(bio=TOPICS["travel"]) == before == set(service.streamers())
        assert len(before) == BACKFILLED
    return job["attempts"]


def comparison_round(bundle: Path, data_dir: Path, victims: str, kills: int, seed: int) -> int:
    """One comparison of the next model with the active one; how often it was begun."""
    folder = bundles_in(data_dir.parent / "models", bundle, partial(write_bundle, seed=1))
    settings: dict[str, Any] = {"STREAMER_MODELS__FOLDER": str(folder)}
    with ExitStack() as running:
        service = running.enter_context(Service(bundle, data_dir, **OPTIONS, **settings))
        client = service.wait_until_ready().client
        names = [profile(i)["streamer_id"] for i in range(BACKFILLED)]
        service.bulk([profile(i) for i in range(BACKFILLED)])
        for i in range(JUDGED):
            said = {"verdict": "same" if i % 2 else "different"}
            body = {"a": names[i], "b": names[i + JUDGED], **said}
            client.put("/v1/judgements", json=body).raise_for_status()
        client.post("/v1/models", json={"folder": "next"}).raise_for_status()
        wait_until(everywhere(service, "has_bundle", 1), "the bundle is known")
        filled = ended(client, submitted(client.post(f"/v1/models/{NEXT}:backfill")))
        assert filled["state"] == "succeeded", filled
        wait_until(everywhere(service, "is_indexed", 1), "its index is complete")
        path = submitted(client.post(f"/v1/models/{NEXT}:compare", params={"sample": BACKFILLED}))
        moments = begun(victims, kills, seed, 0.5)
        service = killed(running, service, bundle, path, victims, kills, moments, **settings)
        job = ended(service.client, path)
        assert job["state"] == "succeeded", job
        found = _compared(service.client)
        by_kind = {each["kind"]: each for each in found["agreements"]}
        assert (by_kind["judgements"]["stored"], by_kind["judgements"]["missing"]) == (JUDGED, 0)
        again = submitted(
            service.client.post(f"/v1/models/{NEXT}:compare", params={"sample": BACKFILLED})
        )
        assert ended(service.client, again)["state"] == "succeeded"
        assert _compared(service.client) == found
    return job["attempts"]


def _compared(client: Client) -> dict[str, Any]:
    """The report, without what differs from time to time, and whose decisions are flipped."""
    path = f"/v1/models/{NEXT}/comparison"
    report = client.get(path).raise_for_status().json()
    kept = {name: report[name] for name in ("status", "outcomes", "agreements", "flips")}
    query = {"kind": "judgements", "limit": 2 * JUDGED}
    listed = client.get(f"{path}/flips", params=query).raise_for_status().json()["flips"]
    assert len(listed) == report["flips"]["judgements"]
    return {**kept, "listed": sorted(each["ids"] for each in listed)}
