"""Expansions that take long, as jobs."""

import time
from collections.abc import Mapping
from typing import Any

from service.features.cases.running import Runs
from service.features.cases.shown import case_fields, difference_fields
from service.features.jobs.runner import Kind, RunningJob, persist
from service.scopes import Scope
from service.store.jobs import Job, JobStore, Settled

TOLD_S = 1.0
"""Progress is recorded that often."""


class CaseJobs(Kind):
    """The kind of job behind expansions that take more than a second."""

    scope: Scope = "cases"
    hides_result = True

    def __init__(self) -> None:
        """Nothing can be done before `connect`: jobs are opened before what queues them."""
        self._runs: Runs | None = None

    def connect(self, runs: Runs) -> None:
        """Do the jobs that these queue."""
        self._runs = runs

    async def run(self, job: RunningJob) -> Mapping[str, Any]:
        """Expand; a job that was interrupted begins anew, and answers what it had written."""
        assert self._runs is not None
        runs, asked, place, job_id = self._runs, job.input, job.job.place, job.job.job_id
        done, due = job.job.done, 0.0

        async def told(visited: int, most: int) -> None:
            nonlocal done, due
            if visited > done and time.monotonic() >= due:
                await job.advance({}, visited, most)
                done, due = visited, time.monotonic() + TOLD_S

        ran = await persist(lambda: runs.of_job(job_id, asked, place, told))
        return {**case_fields(ran.kept), "differences": difference_fields(ran.differences)}

    async def tidy(self, job: Job, state: Settled) -> None:
        """Forget it where its case was deleted meanwhile."""
        assert self._runs is not None
        runs = self._runs
        await persist(lambda: runs.forget_deleted({job.job_id: job.input}))

    async def sweep(self, store: JobStore) -> None:
        """Forget those whose case was deleted, where that was interrupted or nobody tidied."""
        assert self._runs is not None
        await self._runs.sweep()
