"""Expansions that take long, as jobs."""

from collections.abc import Mapping
from typing import Any

from service.features.cases.service import Cases
from service.features.cases.shown import case_fields, difference_fields
from service.features.jobs.runner import Kind, RunningJob, persist
from service.scopes import Scope


class CaseJobs(Kind):
    """The kind of job behind expansions that take more than a second."""

    scope: Scope = "cases"

    def __init__(self) -> None:
        """Nothing can be done before `connect`: jobs are opened before what queues them."""
        self._cases: Cases | None = None

    def connect(self, cases: Cases) -> None:
        """Do the jobs of these cases."""
        self._cases = cases

    async def run(self, job: RunningJob) -> Mapping[str, Any]:
        """Expand; a job that was interrupted begins anew, and writes what it finds once."""
        assert self._cases is not None
        cases, asked = self._cases, job.input
        ran = await persist(lambda: cases.run_job(asked))
        return {**case_fields(ran.kept), "differences": difference_fields(ran.differences)}
