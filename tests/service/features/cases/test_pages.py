"""Pages of cases, of what changed in them, and of verdicts, end where they are large enough."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.features.cases.pages import PAGE_BYTES
from service.features.cases.records import Actor, Event, VerdictRecord
from tests.service.conftest import put
from tests.service.features.cases.large import large_cases
from tests.service.features.cases.test_cases import begin, decide

LONG = "界" * 1000
MANY = tuple(f"{i:0128}" for i in range(1000))


def pages(client: TestClient, path: str, field: str, limit: int) -> list[list[Any]]:
    found: list[list[Any]] = []
    params: dict[str, Any] = {"limit": limit}
    while True:
        answer = client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        found.append(answer.json()[field])
        params["cursor"] = answer.json()["next_cursor"]
        if params["cursor"] is None:
            return found


@pytest.mark.slow
def test_pages_of_large_cases_and_changes_are_short_and_miss_none(client: TestClient) -> None:
    put(client, "ana", bio="guitar vocal cover concert on the old roof every monday")
    begun = [begin(client, "ana", exclude=MANY) for _ in range(5)]
    told = pages(client, "/v1/cases", "cases", 200)
    ids = [case["case_id"] for page in told for case in page]
    assert ids == sorted(ids)
    assert {case["case_id"] for case in begun} <= set(ids)
    assert len(told) > 2
    by_id = {case["case_id"]: case for page in told for case in page}
    assert all(by_id[case["case_id"]] == case for case in begun)

    case = begun[0]
    for i in range(30):
        case = {**case, **decide(client, case, "ana", "confirmed", f"{i} {LONG[:990]}")}
    told = pages(client, f"/v1/cases/{case['case_id']}/events", "events", 1000)
    assert [event["number"] for page in told for event in page] == [*range(1, 32)]
    assert len(told) == 2
    first, second = (page[0] for page in told)
    assert (first["kind"], first["new"]["exclude"]) == ("created", list(MANY))
    assert second["old"]["note"] == told[0][-1]["new"]["note"]
    assert "previous" not in second
    short = pages(client, f"/v1/cases/{case['case_id']}/events", "events", 7)
    assert [len(page) for page in short] == [7, 7, 7, 7, 3]


@pytest.mark.anyio
async def test_pages_of_long_notes_are_short_and_miss_none(tmp_path: Path) -> None:
    async with large_cases(tmp_path, 1) as large:
        kept, who = large.cases.kept, Actor("key", "desk")
        case, _ = await large.cases.create("t", large.names, [], who)
        record = VerdictRecord("cleared", LONG, *who, 1.0)
        verdicts = {f"n{i:04}": record for i in range(250)}
        (found,), _ = await large.cases.page("", 1)
        await kept.change(case, found.revision, Event("verdict", *who, None, {}), verdicts)
        pages: list[list[str]] = []
        after: str | None = ""
        while after is not None:
            page, after = await large.cases.verdicts(case.case_id, after, 1000)
            pages.append([name for name, _ in page])
        assert [name for page in pages for name in page] == list(verdicts)
        assert len(pages[0]) < PAGE_BYTES // len(LONG.encode())
        assert await kept.all_verdicts(case.case_id) == verdicts
