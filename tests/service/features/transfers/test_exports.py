"""Exports over HTTP: who is in them, and where the file is."""

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.errors import SpoolFull
from service.features.audit.trail import NoAuditLog
from service.features.jobs.runner import RunningJob
from service.features.transfers.answers import AnswerJobs
from service.features.transfers.exports import ExportJobs
from service.features.transfers.record import JobRecord
from service.files.spool import Spool
from service.settings import Jobs, Limits, Settings
from service.store.base import ProfilePage, StoredProfile
from service.store.jobs import Job, Lease
from tests.service.conftest import put, wait_until_visible
from tests.service.features.transfers.waiting import ended, lines_of, submitted, upload
from tests.service.http.test_bad_input import pointers, problem

EVERYBODY = {
    "a": {"tags": ["music", "guitar"], "language": "en", "attributes": {"followers": 10}},
    "b": {"tags": ["music"], "language": "zh", "attributes": {"followers": 20, "partner": True}},
    "c": {"tags": ["cooking"], "category": "food"},
    "d": {},
}


def exported(client: TestClient, **wanted: Any) -> tuple[list[str], dict[str, Any]]:
    """Ids in an export, and the job's result."""
    path = submitted(client.post("/v1/jobs/exports", json=wanted))
    job = ended(client, path)
    assert job["state"] == "succeeded", job
    answer = client.get(path + "/result")
    lines, result = lines_of(answer), job["result"]
    assert result["streamers"] == len(lines)
    assert result["bytes"] == len(answer.content)
    assert result["sha256"] == hashlib.sha256(answer.content).hexdigest()
    return [line["streamer_id"] for line in lines], result


def test_everybody_is_exported_as_written(client: TestClient) -> None:
    for streamer_id, profile in EVERYBODY.items():
        put(client, streamer_id, **profile)
    path = submitted(client.post("/v1/jobs/exports", json={}))
    job = ended(client, path)
    assert job["progress"] == {"done": 4, "total": 4, "rate": None, "eta_s": None}
    answer = client.get(path + "/result")
    assert lines_of(answer) == [{"streamer_id": i, **p} for i, p in EVERYBODY.items()]
    assert path.removeprefix("/v1/jobs/") in answer.headers["content-disposition"]
    assert answer.headers["cache-control"] == "no-store"
    part = client.get(path + "/result", headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.content) == (206, answer.content[:10])
    length = len(answer.content)
    last = client.get(path + "/result", headers={"Range": "bytes=-5"})
    assert (last.status_code, len(last.content)) == (206, 5)
    none = client.get(path + "/result", headers={"Range": "bytes=-0"})
    problem(none, 416, "range_not_satisfiable")
    behind = client.get(path + "/result", headers={"Range": f"bytes={length}-"})
    problem(behind, 416, "range_not_satisfiable")
    assert behind.headers["content-range"] == f"bytes */{length}"
    other = client.get(path + "/result", headers={"Range": "lines=0-1"})
    assert (other.status_code, other.content) == (200, answer.content)
    head = client.head(path + "/result", headers={"Range": "bytes=0-9"})
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(length)
    for ranges in ("bytes", "bytes=9-3", "bytes=" + "9" * 5000 + "-"):
        refused = client.get(path + "/result", headers={"Range": ranges})
        problem(refused, 400, "malformed_request")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"must": [{"field": "tags", "any": ["music"]}]}, ["a", "b"]),
        ({"must": [{"field": "tags", "all": ["music", "guitar"]}]}, ["a"]),
        ({"must_not": [{"field": "language", "any": ["en"]}]}, ["b", "c", "d"]),
        ({"must": [{"field": "followers", "gt": 10}]}, ["b"]),
        ({"must": [{"field": "partner", "any": [True]}]}, ["b"]),
        ({"must": [{"field": "streamer_id", "any": ["d", "a", "z"]}]}, ["a", "d"]),
        ({"must": [{"field": "category", "any": ["food"]}]}, ["c"]),
    ],
)
def test_a_filter_is_that_of_questions(
    client: TestClient, wanted: dict[str, Any], expected: list[str]
) -> None:
    last = 0
    for streamer_id, profile in EVERYBODY.items():
        last = put(client, streamer_id, **profile)
    found, result = exported(client, filter=wanted)
    assert found == expected
    assert result["warnings"] == []
    wait_until_visible(client, last)
    question = {"positive": [{"profile": {"tags": ["music"]}}], "filter": wanted}
    hits = client.post("/v1/similar", json=question).json()["hits"]
    assert sorted(hit["streamer_id"] for hit in hits) == [i for i in expected if i != "d"]


def test_a_field_that_nobody_has_is_named(client: TestClient) -> None:
    put(client, "a", tags=["music"])
    found, result = exported(client, filter={"must_not": [{"field": "folowers", "gt": 1}]})
    assert found == ["a"]
    assert result["warnings"] == ["no stored streamer has the field 'folowers' of the filter"]


def test_an_export_of_nobody(client: TestClient) -> None:
    assert exported(client)[0] == []


@pytest.mark.slow
def test_an_export_of_many_pages_is_what_an_import_takes(bundle: Path, tmp_path: Path) -> None:
    limits = Limits(page_bytes=1024)
    lines = "".join(
        f'{{"streamer_id":"s{i:04}","bio":"{"x" * (2 * i % 300)}"}}\n' for i in range(160)
    )
    first = Settings(bundle=bundle, data_dir=tmp_path / "1", limits=limits)
    with TestClient(create_app(first), base_url="http://localhost") as client:
        ended(client, upload(client, lines))
        path = submitted(client.post("/v1/jobs/exports", json={}))
        ended(client, path)
        written = client.get(path + "/result").content
    second = Settings(bundle=bundle, data_dir=tmp_path / "2")
    with TestClient(create_app(second), base_url="http://localhost") as client:
        assert ended(client, upload(client, written))["result"]["created"] == 160
        assert ended(client, upload(client, lines))["result"]["unchanged"] == 160


def test_a_result_comes_from_the_replica_that_has_it(bundle: Path, tmp_path: Path) -> None:
    settings = Settings(bundle=bundle, data_dir=tmp_path / "data")
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        path = submitted(client.post("/v1/jobs/exports", json={}))
        ended(client, path)
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        assert client.get(path + "/result").content == b""  # after a restart too
        for file in (tmp_path / "data" / "jobs").glob("*.result"):
            file.unlink()
        said = problem(client.get(path + "/result"), 409, "result_not_here")["detail"]
        assert "export again" in said
    elsewhere = settings.model_copy(update={"jobs": Jobs(spool_dir=tmp_path / "other")})
    with TestClient(create_app(elsewhere), base_url="http://localhost") as client:
        said = problem(client.get(path + "/result"), 409, "result_not_here")["detail"]
        assert client.get(path).json()["place"] in said


def test_a_result_has_to_be_there(bundle: Path, tmp_path: Path) -> None:
    settings = Settings(bundle=bundle, data_dir=tmp_path / "data", jobs=Jobs(at_once=0))
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        path = submitted(client.post("/v1/jobs/exports", json={}))
        said = problem(client.get(path + "/result"), 409, "job_state_conflict")["detail"]
        assert said == "the job is queued: only one that succeeded has a result"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"filtre": {}}, "/filtre"),
        ({"filter": {"must": [{"field": "tags"}]}}, "/filter/must/0"),
        ({"filter": {"must": [{"field": "tags", "any": []}]}}, "/filter/must/0/any"),
        ([], ""),
    ],
)
def test_a_wrong_field_is_named(client: TestClient, body: Any, pointer: str) -> None:
    said = problem(client.post("/v1/jobs/exports", json=body), 422, "invalid_request")
    assert pointers(said) == [pointer]


def job_of(token: int, checkpoint: bytes = b"") -> Job:
    fields: dict[str, Any] = dict.fromkeys(Job.__dataclass_fields__, 0)
    fields |= dict.fromkeys(("job_id", "kind", "place", "state"), "1")
    fields |= {"input": b'{"filter": {}}', "checkpoint": checkpoint, "token": token}
    return Job(**fields)


class Streamers:
    """Two pages of one profile each, of which the second can't be read before `has_second`."""

    has_second = False
    checkpoint = b""

    async def count(self) -> int:
        return 2

    async def page(self, after: str, limit: int, max_bytes: int) -> ProfilePage:
        if after and not self.has_second:
            raise RuntimeError("the process ends")
        profile = json.dumps({"streamer_id": after + "a", "bio": "x" * 1000}).encode()
        stored = StoredProfile(after + "a", 1, "model", profile, "indexed", b"", 0.0)
        return ProfilePage([stored], None if after else "a")

    async def advance(self, lease: Lease, checkpoint: bytes, done: int, total: int) -> None:
        self.checkpoint = checkpoint


def test_an_export_that_is_interrupted_leaves_no_copy_for_each_attempt(tmp_path: Path) -> None:
    """They took the room that the next attempt needed."""
    store: Any = Streamers()
    nothing: Any = None

    def attempt(token: int, limit: int = 2500) -> None:
        spool = Spool(tmp_path, limit)
        jobs = ExportJobs(store, nothing, spool, nothing, 1 << 20, JobRecord(NoAuditLog()))
        asyncio.run(jobs.run(RunningJob(store, job_of(token, store.checkpoint))))

    for token in range(1, 5):
        with pytest.raises(RuntimeError):
            attempt(token)
    names = [spooled.name for spooled in tmp_path.iterdir()]
    assert sorted(names) == ["1.1.result", "1.4.result"]  # of the checkpoint, and the last one
    with (tmp_path / "other.part").open("wb") as file:
        file.truncate(2000)
    with pytest.raises(SpoolFull):
        attempt(5)
    (tmp_path / "other.part").unlink()
    assert [spooled.name for spooled in tmp_path.iterdir()] == ["1.1.result"]
    store.has_second = True
    attempt(6)
    (made,) = tmp_path.iterdir()
    assert made.name == "1.6.result"
    assert [json.loads(line)["streamer_id"] for line in made.read_text().splitlines()] == [
        "a",
        "aa",
    ]


@pytest.mark.parametrize("state", ["cancelled", "failed", "succeeded"])
def test_what_a_retried_job_writes_already_stays(tmp_path: Path, state: Any) -> None:
    """It was removed with what the attempt before had written."""
    nothing: Any = None
    for token in (1, 2, 3):
        Spool(tmp_path, 1 << 20).result("1", token).touch()
    asyncio.run(AnswerJobs(nothing, Spool(tmp_path, 1 << 20)).tidy(job_of(2), state))
    kept = {"1.3.result"} | ({"1.2.result"} if state == "succeeded" else set())
    assert {file.name for file in tmp_path.iterdir()} == kept
