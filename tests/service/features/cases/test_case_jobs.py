"""Expansions of cases as jobs: which one a case names, how far it is, and what comes of it."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.features.cases.keeping import Kept
from service.features.cases.records import Event, VerdictRecord
from service.features.cases.running import Ran, Runs
from tests.service.conftest import put
from tests.service.features.cases.test_cases import (
    act,
    begin,
    chain,
    decide,
    evaluated,
    events,
    members,
    shown,
)
from tests.service.features.transfers.waiting import ended


@pytest.mark.slow
def test_an_expansion_that_takes_long_goes_on_as_a_job(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.features.cases.running.AT_ONCE_S", 0.0)
    monkeypatch.setattr("service.features.cases.jobs.TOLD_S", 0.0)
    chain(client)
    case = begin(client, "ana")

    answer = client.post(
        f"/v1/cases/{case['case_id']}:expand",
        json={"hops": 2},
        headers={"If-Match": f'"{case["revision"]}"'},
    )

    assert answer.status_code == 202, answer.text
    assert answer.json()["kind"] == "cases"
    job = ended(client, answer.headers["Location"])
    assert job["state"] == "succeeded"
    assert job["result"]["run"]["members"] == 3
    assert 3 <= job["progress"]["done"] <= job["progress"]["total"] == 1000
    assert list(members(client, case)) == ["ana", "bo", "cyd"]
    assert [e["kind"] for e in events(client, case)] == ["created", "expanded"]


@pytest.mark.slow
def test_one_job_for_an_expansion_that_is_sent_again(client: TestClient) -> None:
    chain(client)
    case = begin(client, "ana")
    headers = {
        "If-Match": f'"{case["revision"]}"',
        "Prefer": "respond-async",
        "Idempotency-Key": '"expand-1"',
    }
    path = f"/v1/cases/{case['case_id']}:expand"
    first, again = (client.post(path, headers=headers) for _ in range(2))
    assert first.status_code == again.status_code == 202, again.text
    assert first.json()["job_id"] == again.json()["job_id"]
    assert ended(client, first.headers["Location"])["state"] == "succeeded"
    assert [event["kind"] for event in events(client, case)] == ["created", "expanded"]


@pytest.mark.slow
def test_a_job_takes_what_was_decided_meanwhile(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain(client)
    case = begin(client, "ana")
    keep, cleared = Runs._keep, ["cyd"]

    async def late(self: Runs, kept: Kept, *more: Any) -> Ran:
        """Somebody decides after the case was expanded, and before that is kept."""
        for name in [cleared.pop()] if cleared else []:
            event = Event("verdict", "k", "desk", None, None, name)
            verdict = VerdictRecord("cleared", "", "k", "desk", 0.0)
            after = replace(kept.case, events=kept.case.events + 1)
            await self._kept.change(after, kept.revision, event, {name: verdict})
        return await keep(self, kept, *more)

    monkeypatch.setattr(Runs, "_keep", late)
    headers = {"If-Match": f'"{case["revision"]}"', "Prefer": "respond-async"}
    answer = client.post(f"/v1/cases/{case['case_id']}:expand", headers=headers)
    job = ended(client, answer.headers["Location"])
    assert job["state"] == "succeeded", job
    assert list(members(client, case)) == ["ana", "bo"]
    assert [e["kind"] for e in events(client, case)] == ["created", "verdict", "expanded"]


@pytest.mark.slow
def test_a_job_that_is_done_again_answers_what_it_changed(client: TestClient) -> None:
    """Its process may have died after the case showed its run, and before the job ended."""
    chain(client)
    case = act(client, begin(client, "ana"), "expand")
    case = decide(client, case, "cyd", "cleared")
    evaluated(client, put(client, "eve", name="Eve", bio="no words telegram: lunaris4471"))
    runs: Runs = client.app_state["services"].cases._runs
    asked = {"case_id": case["case_id"], "query": None, "key_id": "k", "key_name": "desk"}
    assert client.portal is not None
    first = client.portal.call(runs.of_job, "job-1", asked, "")
    evaluated(client, put(client, "fay", name="Fay", bio="fewer words telegram: lunaris4471"))
    again = client.portal.call(runs.of_job, "job-1", asked, "")
    assert again == first
    assert [(each.streamer_id, each.cause) for each in again.differences.joined] == [
        ("eve", "joined")
    ]
    assert [each.streamer_id for each in again.differences.left] == ["cyd", "dee"]
    kinds = [event["kind"] for event in events(client, case)]
    assert kinds == ["created", "expanded", "verdict", "rerun"]
    assert "job_id" not in shown(client, case)["run"]
    other = client.portal.call(runs.of_job, "job-2", asked, "")
    assert [each.streamer_id for each in other.differences.joined] == ["fay"]


def test_a_job_that_made_the_first_run_of_a_case_is_done_again(client: TestClient) -> None:
    chain(client)
    case = begin(client, "ana")
    runs: Runs = client.app_state["services"].cases._runs
    asked = {"case_id": case["case_id"], "query": {"hops": 2}, "key_id": "k", "key_name": "desk"}
    assert client.portal is not None
    first = client.portal.call(runs.of_job, "job-1", asked, "")
    assert client.portal.call(runs.of_job, "job-1", asked, "") == first
    assert list(members(client, case)) == ["ana", "bo", "cyd"]


@pytest.mark.slow
def test_a_job_for_whoever_prefers_one(client: TestClient) -> None:
    chain(client)
    case = begin(client, "ana")
    for action, shown_as in (("expand", "expanded"), ("rerun", "expanded")):
        headers = {
            "If-Match": f'"{shown(client, case)["revision"]}"',
            "Prefer": "respond-async",
        }
        answer = client.post(f"/v1/cases/{case['case_id']}:{action}", headers=headers)
        assert answer.status_code == 202, answer.text
        assert answer.headers["Preference-Applied"] == "respond-async"
        job = ended(client, answer.headers["Location"])
        assert job["state"] == "succeeded"
        assert job["result"]["run"]["members"] == 4
        assert events(client, case)[-1]["kind"] == shown_as


@pytest.mark.slow
def test_a_case_names_the_job_that_expands_it(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    going, of_job = asyncio.Event(), Runs.of_job

    async def held(*arguments: Any) -> Ran:
        await going.wait()
        return await of_job(*arguments)

    monkeypatch.setattr(Runs, "of_job", held)
    chain(client)
    case = begin(client, "ana")
    assert shown(client, case)["job_id"] is None
    path = f"/v1/cases/{case['case_id']}"
    headers = {"If-Match": f'"{case["revision"]}"', "Prefer": "respond-async"}
    jobs: list[str] = []
    for _ in range(2):
        job = client.post(f"{path}:expand", headers=headers).json()
        jobs.append(job["job_id"])
        assert shown(client, case)["job_id"] == jobs[-1]
    client.post(f"/v1/jobs/{jobs[1]}:cancel").raise_for_status()
    ended(client, f"/v1/jobs/{jobs[1]}")
    assert shown(client, case)["job_id"] is None  # the other one goes on, unseen
    assert client.portal is not None
    client.portal.call(going.set)
    ended(client, f"/v1/jobs/{jobs[0]}")
    now = shown(client, case)
    assert (now["job_id"], now["total_known"]) == (None, 4)
    headers = {"If-Match": f'"{now["revision"]}"'}
    client.delete(path, headers=headers).raise_for_status()
    documents = client.app_state["services"].cases.kept._documents
    assert client.portal.call(documents.get, "case_jobs", [case["case_id"]]) == [None]
