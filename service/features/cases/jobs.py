"""Expansions that take long, as jobs."""

from collections.abc import Mapping
from typing import Any

from service.features.cases.running import Runs
from service.features.cases.shown import case_fields, difference_fields
from service.features.jobs.runner import Kind, RunningJob, persist
from service.scopes import Scope


class CaseJobs(Kind):
    """The kind of job behind expansions that take more than a second."""

    scope: Scope = "cases"

    def __init__(self) -> None:
        """Nothing can be done before `connect`: jobs are opened before what queues them."""
        self._runs: Runs | None = None

    def connect(self, runs: Runs) -> None:
        """Do the jobs that these queue."""
        self._runs = runs

    async def run(self, job: RunningJob) -> Mapping[str, Any]:
        """Expand; a job that was interrupted begins anew, and writes what it finds once."""
        assert self._runs is not None
        runs, asked, place = self._runs, job.input, job.job.place
        ran = await persist(lambda: runs.of_job(asked, place))
        return {**case_fields(ran.kept), "differences": difference_fields(ran.differences)}
