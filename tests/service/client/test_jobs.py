"""Jobs of the client, and a service that runs them: through cuts, restarts and silent proxies."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.client import (
    AsyncClient,
    Client,
    ClientError,
    DeadlineExceeded,
    JobCancelled,
    JobFailed,
    NotFound,
    Patience,
    Unreachable,
)
from service.client.lines import EventSplitter
from service.client.models import JobOut
from tests.reliability.fault_proxy import FaultProxy
from tests.service.conftest import Serve
from tests.service.data_sets import profile, profiles
from tests.service.process import UNGROUPED, Service

SHORT = Patience(deadline_s=120, first_pause_s=0.01, longest_pause_s=0.2)
STARTS = rb"POST /v1/jobs/imports"
slow = pytest.mark.slow


@slow
def test_streamers_go_in_and_out(client: Client) -> None:
    seen: list[JobOut] = []
    started = client.imports.start([*map(profile, range(700)), "{no json}"])
    assert (started.kind, started.state) == ("import", "queued")
    result = client.imports.wait(started.job_id, on_progress=seen.append)
    assert (result.created, result.refused, result.lines) == (700, 1, 701)
    assert result.refused_lines[0].error.code
    assert client.sequence == result.sequence
    assert seen[-1].state == "succeeded"
    assert [job.progress.done for job in seen] == sorted(job.progress.done for job in seen)
    export = client.exports.start({"must": [{"field": "streamer_id", "any": ["s00003"]}]})
    assert [s.streamer_id for s in client.exports.lines(export.job_id)] == ["s00003"]
    everybody = list(client.exports.lines(client.exports.start().job_id))
    assert [s.streamer_id for s in everybody] == [f"s{i:05}" for i in range(700)]
    listed = [job.job_id for job in client.jobs.all(page_size=2)]
    assert listed == sorted(listed, reverse=True)
    assert {started.job_id, export.job_id} <= set(listed)
    rebuilt = client.jobs.wait(client.jobs.rebuild_index().job_id)
    assert rebuilt.result is not None
    assert rebuilt.result["streamers"] == 700


@slow
def test_who_is_similar_is_exported_by_a_job(client: Client) -> None:
    for i in range(30):
        client.put(f"s{i:05}", profile(i))
    question = {"positive": [{"streamer_id": "s00003"}], "min_score": -1}
    at_once = list(client.export(question))
    job = client.exports.start_similar(question)
    assert job.kind == "similar_export"
    assert list(client.exports.similar_lines(job.job_id)) == at_once
    assert len(at_once) > 10
    with pytest.raises(ClientError, match="read it by `similar_lines`"):
        next(client.exports.lines(job.job_id))
    with pytest.raises(ClientError, match="64 KiB"):
        client.exports.start_similar({"positive": [{"vector": [0.125] * 20_000}], "min_score": 0})


@slow
def test_how_a_job_ended_is_a_typed_error(serve: Serve) -> None:
    service = serve(STREAMER_JOBS__AT_ONCE="0")
    with Client(service.url) as client:
        job = client.exports.start()
        with pytest.raises(DeadlineExceeded, match=f"the job {job.job_id} has not finished"):
            client.jobs.wait(job.job_id, timeout_s=0.2)
        assert client.jobs.cancel(job.job_id).state == "cancelled"
        with pytest.raises(JobCancelled, match=f"the job {job.job_id} was cancelled") as cancelled:
            client.jobs.wait(job.job_id)
        assert cancelled.value.job == client.jobs.get(job.job_id)
        assert client.jobs.retry(job.job_id).state == "queued"
        with pytest.raises(NotFound):
            client.jobs.wait("0" * 28)


@slow
def test_a_job_that_failed_says_why(service: Service, client: Client) -> None:
    question = {"positive": [{"streamer_id": "nobody"}], "min_score": 0.5}
    headers = {"Prefer": "respond-async"}
    job = service.client.post("/v1/similar/export", json=question, headers=headers).json()
    with pytest.raises(JobFailed, match="'nobody' is not stored") as failed:
        client.jobs.wait(job["job_id"])
    assert failed.value.job.error is not None
    assert failed.value.job.error.code == "streamer_not_found"


class _Ended:
    """Counts what was told of a job, and does something at each of its first changes."""

    def __init__(self, do: Callable[[], object], times: int) -> None:
        self._do = do
        self.left = times

    def __call__(self, job: JobOut) -> None:
        if self.left and job.state == "running" and job.progress.done:
            self.left -= 1
            self._do()


@slow
def test_waiting_goes_on_through_cuts(serve: Serve) -> None:
    service = serve(**UNGROUPED)  # to delete so many takes longer than to start another
    with FaultProxy(int(service.url.rpartition(":")[2])) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        cuts = _Ended(proxy.cut, 3)
        with Client(url, patience=SHORT) as there:
            started = there.imports.start(profiles(5000))
            result = there.imports.wait(started.job_id, on_progress=cuts)
    assert result.created == 5000
    assert cuts.left < 3


@slow
def test_waiting_goes_on_through_a_restart(serve: Serve, free_port: int) -> None:
    service = serve(port=free_port, STREAMER_JOBS__LEASE_S="1", **UNGROUPED)

    def restart() -> None:
        service.kill()
        serve(port=free_port, STREAMER_JOBS__LEASE_S="1", **UNGROUPED)

    async def scenario() -> None:
        async with AsyncClient(service.url, patience=SHORT) as client:
            started = await client.imports.start(profiles(4000))
            restarts = _Ended(restart, 1)
            result = await client.imports.wait(started.job_id, on_progress=restarts)
            assert restarts.left == 0
            assert (result.created, result.sequence) == (4000, 4000)
            last = client.exports.lines((await client.exports.start()).job_id)
            assert len([s.streamer_id async for s in last]) == 4000

    asyncio.run(scenario())


class _NoEvents(httpx.HTTPTransport):
    """A network with something in it that answers in place of the service where events are asked.

    `asked` counts that.
    """

    def __init__(self, status: int) -> None:
        super().__init__()
        self._status = status
        self.asked = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            self.asked += 1
            headers = {"Retry-After": "0"} if self._status == 503 else {}
            return httpx.Response(self._status, headers=headers, text="<html>no</html>")
        return super().handle_request(request)


@slow
@pytest.mark.parametrize("status", [200, 204, 502, 503])
def test_where_no_events_come_through_the_job_is_asked_for(
    service: Service, client: Client, status: int
) -> None:
    transport = _NoEvents(status)
    with (
        httpx.Client(transport=transport) as http,
        Client(service.url, patience=SHORT, http=http) as there,
    ):
        started = there.imports.start(profiles(60))
        assert there.imports.wait(started.job_id).created == 60
    assert transport.asked >= 1


@slow
def test_a_service_that_is_gone_is_given_up(
    serve: Serve, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.client.jobs._SILENT_S", 1)  # shorter than a heartbeat takes
    service = serve(port=free_port, STREAMER_JOBS__AT_ONCE="0")
    patience = Patience(deadline_s=1, first_pause_s=0.01, longest_pause_s=0.1)
    with Client(service.url, patience=SHORT) as client:
        job = client.exports.start()
    url = service.url
    service.kill()
    with Client(url, patience=patience) as client, pytest.raises(Unreachable):
        client.jobs.wait(job.job_id)


@slow
def test_a_job_whose_answer_was_lost_is_started_once(service: Service, client: Client) -> None:
    before = len(list(client.jobs.all()))
    with FaultProxy(int(service.url.rpartition(":")[2]), STARTS) as proxy:
        proxy.cut_after_commit(2)
        with Client(f"http://127.0.0.1:{proxy.port}", patience=SHORT) as there:
            started = there.imports.start(profiles(20))
        assert proxy.commits_cut == 2
    assert client.imports.wait(started.job_id).created == 20
    assert len(list(client.jobs.all())) == before + 1


@slow
def test_a_file_of_the_service(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "new.jsonl").write_text("".join(profiles(5)), encoding="utf-8")
    service = serve(STREAMER_JOBS__IMPORT_DIR=str(tmp_path))
    with Client(service.url) as client:
        started = client.imports.start_file("new.jsonl")
        assert client.imports.wait(started.job_id).created == 5


def parted(text: bytes, size: int) -> list[Any]:
    splitter = EventSplitter()
    parts = [text[i : i + size] for i in range(0, len(text), size)]
    return [event for part in parts for event in splitter.feed(part)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_events_in_parts(size: int, end: bytes) -> None:
    lines = [
        b": still here",
        b"",
        b"event: job",
        b"id: 3",
        b"data: a: b",
        b"data:c",
        b"",
        b"data: d",
    ]
    text = end.join([*lines, b"", b"", b"data: cut"])
    assert parted(text, size) == [("3", b"a: b\nc"), ("3", b"d")]
