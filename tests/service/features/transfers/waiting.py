"""Submitting jobs over HTTP, and waiting until they end."""

import json
from collections.abc import Callable
from typing import Any

from tests.service.data_sets import NDJSON
from tests.service.process import wait_until

Client = Any
"""Of httpx, or the test client, which share no class."""
Answer = Any
FINISHED = ("succeeded", "failed", "cancelled")


def submitted(answer: Answer) -> str:
    """Path of a job that was accepted."""
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/jobs/{answer.json()['job_id']}"
    return answer.headers["location"]


def upload(client: Client, lines: str | bytes) -> str:
    """Import lines; the path of the job."""
    return submitted(client.post("/v1/jobs/imports", content=lines, headers=NDJSON))


def when(
    client: Client,
    path: str,
    condition: Callable[[dict[str, Any]], bool],
    every_s: float | None = 0.02,
) -> dict[str, Any]:
    """The job, once it fulfils a condition, which may be that of a moment."""
    job: dict[str, Any] = {}

    def look() -> bool:
        nonlocal job
        answer = client.get(path)
        answer.raise_for_status()
        job = answer.json()
        return condition(job)

    wait_until(look, f"the job is as it should be, not {job}", every_s=every_s)
    return job


def ended(client: Client, path: str) -> dict[str, Any]:
    """The job, once it is finished."""
    return when(client, path, lambda job: job["state"] in FINISHED, every_s=None)


def lines_of(answer: Answer) -> list[dict[str, Any]]:
    """NDJSON that was answered."""
    assert answer.headers["content-type"].startswith("application/x-ndjson"), answer.text
    return [json.loads(line) for line in answer.content.split(b"\n") if line]
