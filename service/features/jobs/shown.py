"""Jobs as they are answered."""

import json
from dataclasses import replace

from service.features.jobs.schemas import JobOut, ProgressOut
from service.features.jobs.service import Jobs
from service.http.auth.callers import Caller
from service.http.schemas import Problem
from service.store.jobs import Job


def job_out(job: Job) -> JobOut:
    """A job as it is answered."""
    return JobOut(
        job_id=job.job_id,
        kind=job.kind,
        state=job.state,
        cancelling=job.is_cancelling,
        progress=_progress(job),
        result=json.loads(job.result) if job.result else None,
        error=Problem.model_validate_json(job.error) if job.error else None,
        created_at=job.created_at,
        updated_at=job.updated_at,
        attempts=job.attempts,
        place=job.place,
        key_id=job.key_id or None,
        key_name=job.key_name or None,
    )


def job_for(caller: Caller, jobs: Jobs, job: Job) -> JobOut:
    """A job as a caller may see it, who may look at jobs; see `Kind.hides_result`."""
    may_see = jobs.is_open(job.kind) or jobs.scope_of(job.kind) in caller.scopes
    return job_out(job if may_see else replace(job, result=b""))


def _progress(job: Job) -> ProgressOut:
    seconds, done = job.updated_at - job.began_at, job.done - job.began_done
    rate = done / seconds if job.state == "running" and done > 0 and seconds > 0 else None
    left = None if job.total is None else max(0, job.total - job.done)
    return ProgressOut(
        done=job.done,
        total=job.total,
        rate=None if rate is None else round(rate, 1),
        eta_s=None if rate is None or left is None else round(left / rate, 1),
    )
