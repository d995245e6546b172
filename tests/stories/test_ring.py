"""Anti-fraud: from one account to its ring, verdicts, a watchlist, an alarm at the next copy."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.receiver import Receiver, receiving
from tests.support.service import Service, run, wait_until

Profiles = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {"STREAMER_WEBHOOKS__PRIVATE_NETWORKS": "127.0.0.0/8"}


@pytest.fixture(scope="module")
def ring(world: Path) -> list[str]:
    """Who copies each other behind disguises, the original first."""
    with (world / "data" / "duplicates.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["group"] == "r0"]
    rows.sort(key=lambda row: row["kind"] != "ring_original")
    return [row["streamer_id"] for row in rows]


@pytest.fixture(scope="module")
def by_id(profiles: list[dict[str, Any]]) -> Profiles:
    return {profile["streamer_id"]: profile for profile in profiles}


@pytest.fixture(scope="module")
def desk(api: Api, by_id: Profiles, ring: list[str]) -> Iterator[Api]:
    """A client of the anti-fraud team; all of the world is stored but the last of the ring."""
    api.wait_until_grouped(api.write(p for name, p in by_id.items() if name != ring[-1]))
    made = api.ok("POST", "/v1/keys", {"name": "anti-fraud", "role": "antifraud"}, status=201)
    with Api(str(api.base_url), made["key"]) as client:
        yield client


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


def members(desk: Api, path: str) -> dict[str, dict[str, Any]]:
    return {each["streamer_id"]: each for each in desk.all(path, "members")}


def change(desk: Api, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """Change a case as it is now; what an expansion came to, which may be a job."""
    case = path.partition(":")[0].partition("/members")[0]
    headers = {"If-Match": desk.get(case).headers["ETag"]}
    answer = desk.request(method, path, json=body, headers=headers)
    if answer.status_code == 202:
        return desk.finished(answer.json())["result"]
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_ring_is_found_from_one_account_and_its_next_copy_raises_an_alarm(
    api: Api,
    desk: Api,
    service: Service,
    by_id: Profiles,
    ring: list[str],
    receiver: Receiver,
    tmp_path: Path,
) -> None:
    *known, newcomer = ring
    seed, friend = known[1], known[-1]

    # One account was reported; the others hang together with it, and nobody else does.
    case = desk.ok("POST", "/v1/cases", {"title": "gift scam", "seeds": [seed]}, status=201)
    path = f"/v1/cases/{case['case_id']}"
    ran = change(desk, "POST", f"{path}:expand", {"hops": 3})
    assert ran["run"]["complete"] is True
    found = members(desk, path)
    assert {*found} == {*known}
    for name, member in found.items():
        assert (member["path"][0], member["path"][-1]) == (seed, name)
        assert member["probability"] >= 0.35
    surest = [*found][1]
    sides = {"a": {"streamer_id": seed}, "b": {"streamer_id": surest}}
    compared = desk.ok("POST", "/v1/compare", sides)
    assert compared["verdict"] in ("near_duplicate", "same_contact", "same_media")
    assert compared["probability"] >= 0.9

    # Verdicts: one is a friend of the house, and all others are confirmed.
    for name in known:
        verdict = {"verdict": "cleared" if name == friend else "confirmed", "note": "same voice"}
        change(desk, "PUT", f"{path}/members/{name}", verdict)
    ran = change(desk, "POST", f"{path}:rerun")
    assert {*members(desk, path)} == {*known} - {friend}
    left = {each["streamer_id"]: each["cause"] for each in ran["differences"]["left"]}
    assert left == {friend: "verdict"}
    (tmp_path / "case.zip").write_bytes(desk.get(f"{path}/export?format=zip").content)
    checked = run("verify-case", tmp_path / "case.zip", "--json")
    assert checked.returncode == 0, checked.stderr
    told = json.loads(checked.stdout)
    assert (told["members"], told["profiles"]) == (len(known) - 1, len(known) - 1)

    # The confirmed are watched for, and a service of the team is told of alarms.
    hook = {"url": receiver.url("/alarms"), "kinds": ["watchlist.*"]}
    desk.refused("POST", "/v1/webhooks", hook, status=403, code="missing_scope")
    secret = api.ok("POST", "/v1/webhooks", hook, status=201)["secret"]
    body = {
        "name": "the ring",
        "positive": [{"case_id": case["case_id"]}],
        "min_probability": 0.9,
    }
    made = desk.ok("POST", "/v1/watchlists", body, status=201)
    assert {each["streamer_id"] for each in made["positive"]} == {*known} - {friend}
    assert made["cleared"] == [friend]
    watchlist = f"/v1/watchlists/{made['watchlist_id']}"
    wait_until(lambda: desk.ok("GET", watchlist)["sweep"]["state"] == "done", "it is swept")
    alerts = f"/v1/alerts?watchlist_id={made['watchlist_id']}"
    assert desk.ok("GET", alerts)["alerts"] == []

    # The next copy comes, beside a write of an account that was cleared.
    api.write([{**by_id[friend], "attributes": {"seen": 2}}])
    sequence = api.write([by_id[newcomer]])
    first = receiver.wait_for(1)[0].verified(secret)
    api.wait_until_matched(sequence)
    (alert,) = desk.ok("GET", alerts)["alerts"]
    assert (alert["streamer_id"], alert["sequence"]) == (newcomer, sequence)
    assert alert["seed_id"] in known
    assert alert["probability"] >= 0.9
    assert first["type"] == "watchlist.matched"
    assert (first["data"]["streamer_id"], first["data"]["alert_id"]) == (
        newcomer,
        alert["alert_id"],
    )
    (event,) = desk.ok("GET", "/v1/events?kinds=watchlist.matched")["events"]
    assert (event["event_id"], event["data"]) == (first["event_id"], first["data"])

    # Somebody decides; the same content raises no other alarm, and the case takes the copy in.
    decided = desk.ok("PUT", f"/v1/alerts/{alert['alert_id']}", {"state": "confirmed"})
    assert decided["decisions"][0]["key_name"] == "anti-fraud"
    again = api.write([{**by_id[newcomer], "attributes": {"seen": 3}}])
    api.wait_until_matched(again)
    api.wait_until_grouped(again)
    assert len(desk.ok("GET", alerts)["alerts"]) == len(receiver.requests) == 1
    ran = change(desk, "POST", f"{path}:rerun")
    joined = {each["streamer_id"]: each["cause"] for each in ran["differences"]["joined"]}
    assert joined == {newcomer: "joined"}
    # The group of duplicates goes by evidence alone, so that the friend is in it.
    group_id = desk.ok("GET", f"/v1/streamers/{newcomer}/duplicates")["group"]["group_id"]
    group = desk.ok("GET", f"/v1/duplicates/{group_id}")
    assert {*group["members"]} == {*ring}
