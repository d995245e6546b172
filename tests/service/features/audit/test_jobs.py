"""Imports and exports in the audit log: every id, the job, and the key that started it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.errors import AuditUnavailable
from service.features.jobs import runner
from service.features.jobs.runner import RunningJob
from service.features.transfers.record import JobRecord
from service.settings import Settings
from service.store.jobs import Job
from tests.service.data_sets import json_line
from tests.service.features.audit.logs import written
from tests.service.features.transfers.waiting import ended, submitted, upload

KEY = "the-first-key"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def audited(bundle: Path, folder: Path) -> Iterator[TestClient]:
    known = {"bundle": bundle, "data_dir": folder, "api_key": KEY, "audit": {"ids": 3}}
    headers = {"Authorization": f"Bearer {KEY}"}
    app = create_app(Settings.model_validate(known))
    with TestClient(app, base_url="http://localhost", headers=headers) as client:
        yield client


def of_job(folder: Path, path: str) -> list[dict[str, Any]]:
    """What is in the file at this moment of what a job did."""
    job_id = path.rpartition("/")[2]
    return [e for e in written(folder) if e["kind"] == "job" and e["job_id"] == job_id]


def test_every_id_of_a_job_is_named_with_who_started_it(audited: TestClient, folder: Path) -> None:
    made = audited.post("/v1/keys", json={"name": "nightly", "role": "operations"}).json()
    audited.headers["Authorization"] = f"Bearer {made['key']}"
    lines = [
        json_line({"streamer_id": f"s-{n:02}", "tags": ["music" if n % 2 else "cooking"]})
        for n in range(40)
    ]
    path = upload(audited, "".join(lines) + "no line\n")
    assert ended(audited, path)["result"]["created"] == 40
    entries = of_job(folder, path)
    assert [i for e in entries for i in e["ids"]] == [f"s-{n:02}" for n in range(40)]
    assert max(len(e["ids"]) for e in entries) == 3
    assert {(e["key_id"], e["action"]) for e in entries} == {(made["key_id"], "import")}
    (asked,) = [e for e in written(folder) if e.get("route") == "/v1/jobs/imports"]
    assert asked["ids"] == [path.rpartition("/")[2]]

    path = upload(audited, lines[0] + json_line({"streamer_id": "s-01", "tags": ["other"]}))
    assert ended(audited, path)["result"]["unchanged"] == 1
    assert [e["ids"] for e in of_job(folder, path)] == [["s-01"]]  # the other was not written

    wanted = {"filter": {"must": [{"field": "tags", "any": ["cooking"]}]}}
    path = submitted(audited.post("/v1/jobs/exports", json=wanted))
    assert ended(audited, path)["result"]["streamers"] == 20
    read = [i for e in of_job(folder, path) for i in e["ids"]]
    assert read == [f"s-{n:02}" for n in range(0, 40, 2)]

    audited.headers["Authorization"] = f"Bearer {KEY}"
    found = audited.get("/v1/audit", params={"streamer_id": "s-04", "limit": 1000}).json()
    jobs = [e for e in found["entries"] if e["kind"] == "job"]
    assert [e["action"] for e in jobs] == ["import", "export"]
    assert all("s-04" in e["ids"] for e in jobs)


@pytest.mark.slow
def test_who_reads_the_file_of_an_answer_reads_so_many(audited: TestClient, folder: Path) -> None:
    lines = [json_line({"streamer_id": f"s-{n}", "tags": ["music"]}) for n in range(5)]
    assert ended(audited, upload(audited, "".join(lines)))["result"]["created"] == 5
    seeds = {"positive": [{"streamer_id": "s-0"}]}
    for path, form, asked in (
        ("/v1/similar/export", "ndjson", seeds | {"min_score": -1}),
        ("/v1/lists:preview?format=json", "json", seeds),
        ("/v1/lists:preview?format=xlsx", "xlsx", seeds),
    ):
        later = audited.post(path, json=asked, headers={"Prefer": "respond-async"})
        job = submitted(later)
        made = ended(audited, job)["result"]
        assert (made["streamers"], made.get("format", "ndjson")) == (4, form)
        read = audited.get(job + "/result", headers={"X-Request-Id": f"read-{form}"})
        assert read.status_code == 200
        (entry,) = [e for e in written(folder) if e.get("request_id") == f"read-{form}"]
        assert (entry["ids"], entry["results"]) == ([job.rpartition("/")[2]], 4)
        for part, status, results in (("9-", 206, 4), ("99999999-", 416, None)):
            named = {"X-Request-Id": f"{form}-{part}", "Range": f"bytes={part}"}
            assert audited.get(job + "/result", headers=named).status_code == status
            (entry,) = [e for e in written(folder) if e.get("request_id") == f"{form}-{part}"]
            assert entry.get("results") == results


class _Log:
    """An `AuditLog` whose disk is full for a while."""

    most_ids = 2

    def __init__(self, failures: int) -> None:
        self.told: list[list[str]] = []
        self.keys: list[str] = []
        self._failures = failures

    def note(self, entry: object) -> None:
        raise AssertionError(entry)

    def check(self) -> None:
        raise AssertionError

    async def write(self, entries: Sequence[Any]) -> None:
        self.told += [list(e["ids"]) for e in entries]
        self.keys += [e["key_id"] for e in entries]
        self._failures -= 1
        if self._failures >= 0:
            raise AuditUnavailable("the disk is full")


def _job(retried_by: str = "", **asked: object) -> RunningJob:
    texts: dict[str, str] = dict.fromkeys(("job_id", "kind", "place", "state"), "x")
    texts["key_id"] = retried_by
    fields: dict[str, Any] = dict.fromkeys(Job.__dataclass_fields__, 0) | texts
    job = Job(**fields | {"input": b"{}", "checkpoint": b"", "kind": "import"})
    running = RunningJob(None, job)  # type: ignore[arg-type]
    running.input = asked
    return running


@pytest.mark.anyio
async def test_a_disk_that_is_full_for_a_while_delays_a_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The entries wait in the log, and are not told it a second time."""
    monkeypatch.setattr(runner, "_PAUSES_S", (0.0, 0.0))
    log = _Log(failures=2)
    await JobRecord(log).note(_job(key_id="a"), ["s-1", "s-2", "s-3"])
    assert log.told == [["s-1", "s-2"], ["s-3"]]
    log = _Log(failures=1000)
    with pytest.raises(AuditUnavailable):
        await JobRecord(log).note(_job(key_id="a"), ["s-1"])
    assert log.told == [["s-1"]]
    log = _Log(failures=1000)
    await JobRecord(log).note(_job(key_id="a"), [])  # nothing to write down


@pytest.mark.anyio
async def test_the_key_that_retried_a_job_last_is_named() -> None:
    log = _Log(failures=0)
    await JobRecord(log).note(_job(key_id="first", retried_by="second"), ["s-1"])
    await JobRecord(log).note(_job(key_id="first"), ["s-1"])  # of an earlier release
    assert log.keys == ["second", "first"]
