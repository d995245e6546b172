"""Expansions that are asked for at a state of the case which is no more, or once more."""

import asyncio
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.errors import CaseChanged, InvalidRequest
from service.features.cases.running import Ran, Runs
from tests.service.features.cases.test_cases import act, begin, chain, decide, events, shown
from tests.service.features.transfers.waiting import ended
from tests.service.http.test_bad_input import problem

ASKED: dict[str, Any] = {"query": None, "key_id": "k", "key_name": "desk"}


def of_job(client: TestClient, asked: dict[str, Any], job_id: str = "job-1") -> Ran:
    runs: Runs = client.app_state["services"].cases._runs
    assert client.portal is not None
    return client.portal.call(runs.of_job, job_id, {**ASKED, **asked}, "")


def test_a_rerun_whose_only_run_was_taken_back_meanwhile_says_so(client: TestClient) -> None:
    chain(client)
    case = act(client, begin(client, "ana"), "expand")
    asked = {"case_id": case["case_id"], "shown": case["run"]["run_id"]}
    act(client, case, "undo")
    for each in (asked, {"case_id": case["case_id"]}):  # as older releases queued it
        with pytest.raises(InvalidRequest, match="never expanded"):
            of_job(client, each)


@pytest.mark.slow
@pytest.mark.parametrize(("match", "state"), [("revision", "failed"), ("*", "succeeded")])
def test_a_job_replaces_no_run_that_whoever_asked_for_it_had_not_seen(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, match: str, state: str
) -> None:
    going, run_it = asyncio.Event(), Runs.of_job

    async def held(*arguments: Any) -> Ran:
        await going.wait()
        return await run_it(*arguments)

    monkeypatch.setattr(Runs, "of_job", held)
    chain(client)
    case = act(client, begin(client, "ana"), "expand", hops=1)
    path = f"/v1/cases/{case['case_id']}:expand"
    expected = "*" if match == "*" else f'"{case["revision"]}"'
    headers = {"If-Match": expected, "Prefer": "respond-async"}
    queued = client.post(path, json={"hops": 2}, headers=headers)
    act(client, case, "expand", hops=3)  # somebody else, meanwhile
    assert client.portal is not None
    client.portal.call(going.set)
    job = ended(client, queued.headers["Location"])
    assert job["state"] == state, job
    if state == "failed":
        assert (job["error"]["status"], job["error"]["code"]) == (412, "case_changed")
    hops = shown(client, case)["run"]["query"]["hops"]
    assert hops == (3 if state == "failed" else 2)


def test_a_job_takes_verdicts_in_that_came_before_it_began(client: TestClient) -> None:
    chain(client)
    case = act(client, begin(client, "ana"), "expand")
    decide(client, case, "bo", "cleared")
    asked = {"case_id": case["case_id"], "shown": case["run"]["run_id"]}
    assert of_job(client, asked).kept.case.run.members == 1  # type: ignore[union-attr]
    with pytest.raises(CaseChanged, match="another run"):
        of_job(client, {**asked, "shown": None}, "job-2")


@pytest.mark.slow
def test_a_request_that_is_sent_again_gets_its_job_after_that_ended(client: TestClient) -> None:
    chain(client)
    case = begin(client, "ana")
    path = f"/v1/cases/{case['case_id']}:expand"
    headers = {"If-Match": f'"{case["revision"]}"', "Idempotency-Key": '"again-1"'}
    later = {**headers, "Prefer": "respond-async"}
    first = client.post(path, headers=later)
    assert ended(client, first.headers["Location"])["state"] == "succeeded"
    assert shown(client, case)["revision"] > case["revision"]
    again = client.post(path, headers=later)
    assert again.status_code == 202, again.text
    assert (again.json()["job_id"], again.json()["state"]) == (first.json()["job_id"], "succeeded")
    problem(client.post(path, json={"hops": 1}, headers=headers), 422, "idempotency_key_reused")
    assert [event["kind"] for event in events(client, case)] == ["created", "expanded"]


def test_a_request_that_is_sent_again_gets_the_run_that_it_made_at_once(
    client: TestClient,
) -> None:
    chain(client)
    case = begin(client, "ana")
    path = f"/v1/cases/{case['case_id']}:expand"
    headers = {"If-Match": f'"{case["revision"]}"', "Idempotency-Key": '"again-2"'}
    first, again = (client.post(path, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200), again.text
    assert again.json() == first.json()
    assert again.headers["ETag"] == first.headers["ETag"]
    assert "request" not in first.json()["run"]
    problem(client.post(path, json={"hops": 1}, headers=headers), 422, "idempotency_key_reused")
    assert [event["kind"] for event in events(client, case)] == ["created", "expanded"]
    act(client, first.json(), "expand", hops=1)
    problem(client.post(path, headers=headers), 412, "case_changed")


def test_of_two_of_the_same_request_at_once_both_get_the_run(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain(client)
    case = begin(client, "ana")
    path = f"/v1/cases/{case['case_id']}:expand"
    headers = {"If-Match": f'"{case["revision"]}"', "Idempotency-Key": '"again-3"'}
    first = client.post(path, headers=headers).json()
    look, missed = Runs.asked_before, ["once"]

    async def late(*arguments: Any) -> Any:
        """The other request wrote its run after this one had looked."""
        return None if missed and missed.pop() else await look(*arguments)

    monkeypatch.setattr(Runs, "asked_before", late)
    assert client.post(path, headers=headers).json() == first
    assert not missed
