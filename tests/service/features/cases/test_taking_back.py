"""What is taken back of a case, what can't be, and how long its log is."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.features.cases.exports.archive import Damaged, verify
from tests.service.conftest import put
from tests.service.features.cases.test_cases import (
    act,
    begin,
    chain,
    decide,
    evaluated,
    events,
    shown,
)
from tests.service.http.test_bad_input import problem

MOST = ("service.features.cases.keeping.MOST_EVENTS",
        "service.features.cases.exports.archive.MOST_EVENTS")  # fmt: skip


def test_a_verdict_that_changes_nothing_adds_no_event(client: TestClient) -> None:
    chain(client)
    case = decide(client, act(client, begin(client, "ana"), "expand"), "bo", "cleared", "a friend")
    decided = shown(client, case)["members"][1]["verdict"]
    assert decide(client, case, "bo", "cleared", "a friend") == case
    assert shown(client, case)["members"][1]["verdict"] == decided
    assert shown(client, case)["revision"] == case["revision"]
    for verdict, note in (("cleared", "an old friend"), ("unsure", "an old friend")):
        case = decide(client, case, "bo", verdict, note)
    kinds = [event["kind"] for event in events(client, case)]
    assert kinds == ["created", "expanded", "verdict", "verdict", "verdict"]
    assert act(client, case, "undo")["undone"]["new"]["verdict"] == "unsure"


def test_an_expansion_behind_another_one_says_why_it_stays(client: TestClient) -> None:
    chain(client)
    case = act(client, begin(client, "ana"), "expand", hops=3)
    case = decide(client, case, "dee", "cleared")
    for hops in (2, 1):
        case = act(client, case, "expand", hops=hops)
    case = act(client, case, "undo")
    assert case["undone"]["number"] == 5
    answer = client.post(
        f"/v1/cases/{case['case_id']}:undo", headers={"If-Match": f'"{case["revision"]}"'}
    )
    problem(answer, 409, "nothing_to_undo")
    assert "event 4" in answer.json()["detail"]
    assert "expand the case again" not in answer.json()["detail"]
    old = events(client, case)[3]["old"]["query"]
    del old["decay"]
    case = act(client, case, "expand", **old)  # as the answer says
    case = decide(client, case, "dee", "unsure")
    assert act(client, case, "expand", **old)["run"]["members"] == 4


@pytest.mark.slow
def test_a_log_keeps_its_last_events(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in MOST:
        monkeypatch.setattr(name, 20)
    evaluated(client, put(client, "ana", name="Ana", bio="telegram: lunaris4471"))
    case = act(client, begin(client, "ana"), "expand")
    for i in range(130):  # the store forgets a hundred at a time
        case = decide(client, case, "ana", "unsure", f"{i}")
    kept = client.get(f"/v1/cases/{case['case_id']}/events", params={"limit": 1000})
    numbers = [event["number"] for event in kept.json()["events"]]
    assert numbers[-1] == shown(client, case)["events"] == 132
    assert numbers == list(range(numbers[0], 133))
    assert 20 <= len(numbers) < 132
    archive = tmp_path / "case.zip"
    archive.write_bytes(client.get(f"/v1/cases/{case['case_id']}/export").content)
    assert verify(archive).events == len(numbers)
    monkeypatch.setattr(MOST[1], 10_000)
    with pytest.raises(Damaged, match="each event"):
        verify(archive)
    path, answer = f"/v1/cases/{case['case_id']}:undo", kept
    while answer.status_code == 200:  # each one is an event as well
        answer = client.post(path, headers={"If-Match": f'"{shown(client, case)["revision"]}"'})
    problem(answer, 409, "nothing_to_undo")
    assert "no longer kept" in answer.json()["detail"]
