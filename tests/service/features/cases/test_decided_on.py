"""Verdicts hold for an id: who has another profile since is told, and what a case lacks by them."""

import csv
import io
import json
import threading
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.features.cases.keeping import KeptCases
from service.features.cases.records import VERDICT, Case, VerdictRecord
from tests.service.conftest import put
from tests.service.features.cases.test_cases import (
    act,
    begin,
    bio,
    chain,
    decide,
    evaluated,
    members,
    shown,
)


def verdicts(client: TestClient, case: dict[str, Any]) -> dict[str, bool | None]:
    path = f"/v1/cases/{case['case_id']}/verdicts"
    listed = client.get(path).raise_for_status().json()["verdicts"]
    return {each["streamer_id"]: each["profile_changed"] for each in listed}


def exported(client: TestClient, case: dict[str, Any], file_format: str) -> bytes:
    path, params = f"/v1/cases/{case['case_id']}/export", {"format": file_format}
    return client.get(path, params=params).raise_for_status().content


def sold(client: TestClient) -> None:
    """Whoever has the id `bo` is somebody else."""
    client.delete("/v1/streamers/bo", params={"erase": True}).raise_for_status()
    evaluated(client, put(client, "bo", name="Nobody", bio=bio("dee", "lunaris4471")))


def test_a_cleared_account_that_somebody_else_has_is_told_until_it_is_decided_on(
    client: TestClient,
) -> None:
    chain(client)
    case = decide(client, act(client, begin(client, "ana"), "expand"), "bo", "cleared")
    case = act(client, case, "rerun")
    assert (verdicts(client, case), case["differences"]["changed"]) == ({"bo": False}, [])
    client.delete("/v1/streamers/bo", params={"erase": True}).raise_for_status()
    assert verdicts(client, case) == {"bo": False}  # nobody has it

    sold(client)
    told = [{"streamer_id": "bo", "cause": "profile_changed", "because": ["bo"]}]
    revision = case["revision"]
    for _ in range(2):
        ran = act(client, case, "rerun")
        assert ran["differences"]["changed"] == told
        assert (list(members(client, case)), ran["revision"]) == (["ana"], revision)
    assert verdicts(client, case) == {"bo": True}
    lines = zipfile.ZipFile(io.BytesIO(exported(client, case, "zip"))).read("verdicts.ndjson")
    assert json.loads(lines)["profile_changed"] is True

    case = decide(client, case, "bo", "cleared")  # the same, of another profile
    assert (verdicts(client, case), case["revision"] > revision) == ({"bo": False}, True)
    assert act(client, case, "rerun")["differences"]["changed"] == []


def test_a_verdict_is_about_the_profile_that_the_case_shows(client: TestClient) -> None:
    chain(client)
    case = act(client, begin(client, "ana"), "expand")
    sold(client)
    path = f"/v1/cases/{case['case_id']}"
    headers = {"If-Match": f'"{case["revision"]}"'}
    answer = client.put(f"{path}/members/bo", json={"verdict": "confirmed"}, headers=headers)
    assert answer.json()["profile_changed"] is True
    assert members(client, case)["bo"]["verdict"]["profile_changed"] is True
    assert "digest" not in members(client, case)["bo"]["verdict"]
    rows = list(csv.DictReader(io.StringIO(exported(client, case, "csv").decode("utf-8-sig"))))
    assert {row["streamer_id"]: row["profile_changed"] for row in rows if row["verdict"]} == {
        "bo": "true"
    }
    case = act(client, shown(client, case), "rerun")
    case = decide(client, case, "bo", "confirmed")
    assert members(client, case)["bo"]["verdict"]["profile_changed"] is False


def test_a_verdict_of_an_older_release_says_that_nothing_is_known(client: TestClient) -> None:
    record = VerdictRecord("cleared", "", "k", "desk", 1.0, "d")
    older = {name: value for name, value in asdict(record).items() if name != "digest"}
    read = VERDICT.validate_python(older)
    assert read.digest == ""
    assert [read.decided(now).profile_changed for now in ("d", None)] == [None, None]
    assert [record.decided(now).profile_changed for now in ("d", "e", None)] == [False, True, False]


def test_a_case_says_that_other_verdicts_hold_than_when_it_was_expanded(
    client: TestClient,
) -> None:
    chain(client)
    case = begin(client, "ana")
    assert shown(client, case)["outdated"] is False
    case = act(client, case, "expand")
    for verdict, outdated in (("unsure", False), ("cleared", True), ("confirmed", True)):
        case = decide(client, case, "bo", verdict)
        assert shown(client, case)["outdated"] is outdated
    about = zipfile.ZipFile(io.BytesIO(exported(client, case, "zip"))).read("case.json")
    assert json.loads(about)["outdated"] is True
    assert shown(client, act(client, case, "rerun"))["outdated"] is False
    for _ in range(3):
        case = act(client, shown(client, case), "undo")
    assert case["undone"]["new"]["verdict"] == "cleared"
    assert shown(client, case)["outdated"] is False


def test_all_verdicts_are_read_once_for_a_run_and_for_no_page_but_the_first(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, every = list[str](), KeptCases.all_verdicts

    async def counted(self: KeptCases, case_id: str) -> dict[str, VerdictRecord]:
        read.append(case_id)
        return await every(self, case_id)

    chain(client)
    case = act(client, begin(client, "ana"), "expand")
    case = decide(client, case, "bo", "confirmed")
    monkeypatch.setattr(KeptCases, "all_verdicts", counted)
    path, told = f"/v1/cases/{case['case_id']}", []
    cursor, verdicts = None, dict[str, str | None]()
    while not told or cursor is not None:
        page = client.get(path, params={"limit": 1, "cursor": cursor} if cursor else {"limit": 1})
        cursor = page.raise_for_status().json()["next_cursor"]
        told.append(page.json()["outdated"])
        (member,) = page.json()["members"]
        verdicts[member["streamer_id"]] = member["verdict"] and member["verdict"]["verdict"]
    assert told == [True, None, None, None]
    assert verdicts == {"ana": None, "bo": "confirmed", "cyd": None, "dee": None}
    assert len(read) == 1
    act(client, case, "rerun")
    assert len(read) == 2


def test_verdicts_are_sorted_beside_the_event_loop(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    sorted_in, bounds = set[int](), Case.bounds

    def noted(self: Case, verdicts: Mapping[str, VerdictRecord]) -> Any:
        sorted_in.add(threading.get_ident())
        return bounds(self, verdicts)

    monkeypatch.setattr(Case, "bounds", noted)
    chain(client)
    case = act(client, begin(client, "ana"), "expand")
    shown(client, case)
    exported(client, case, "csv")
    assert client.portal is not None
    assert sorted_in
    assert client.portal.call(threading.get_ident) not in sorted_in
