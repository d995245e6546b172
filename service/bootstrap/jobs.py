"""Wires jobs: their store, their spool, the work of each kind, and the runner."""

import asyncio
import contextlib
import json

from service.engine.serving import Serving
from service.engine.work.lanes import Lanes
from service.errors import JobGivenUp
from service.features.jobs.counts import JobCounts
from service.features.jobs.runner import JobRunner
from service.features.jobs.service import Jobs
from service.features.streamers.write_pipeline import WritePipeline
from service.features.transfers.exports import KIND as EXPORT
from service.features.transfers.exports import ExportJobs
from service.features.transfers.imports import KIND as IMPORT
from service.features.transfers.imports import ImportJobs
from service.features.transfers.record import JobRecord
from service.features.transfers.service import Transfers
from service.features.transfers.spool import Spool
from service.http.auth.audit import AuditLog
from service.http.documents import problem_of
from service.index.faiss.rows.attributes import let_through
from service.settings import Settings
from service.store.redis.jobs import JobLimits, RedisJobs
from service.store.redis.store import RedisStore
from service.telemetry.spans import Tracer


async def open_jobs(
    store: RedisStore,
    writes: WritePipeline,
    serving: Serving,
    lanes: Lanes,
    settings: Settings,
    audit: AuditLog,
    stack: contextlib.AsyncExitStack,
    counts: JobCounts,
    tracer: Tracer | None = None,
) -> tuple[Jobs, Transfers]:
    """Jobs, and their runner, which `stack` stops."""
    known = settings.jobs
    spool = Spool(settings.spool_folder, known.spool_bytes)
    await asyncio.to_thread(spool.open)
    given_up = json.dumps(problem_of(JobGivenUp(JobGivenUp.example))).encode()
    kept = RedisJobs(
        store.client, JobLimits(known.lease_s, known.max_queued, known.keep_s, given_up)
    )
    record = JobRecord(audit)
    runner = JobRunner(
        kept,
        {
            IMPORT: ImportJobs(
                writes, lanes, spool, settings.limits, known, serving.model_version, record
            ),
            EXPORT: ExportJobs(
                store, lanes, spool, let_through, settings.limits.page_bytes, record
            ),
        },
        spool.place,
        at_once=known.at_once,
        lease_s=known.lease_s,
        counts=counts,
        tracer=tracer,
    )
    runner.start()
    stack.push_async_callback(runner.stop)
    jobs = Jobs(kept, known, runner.wake)
    return jobs, Transfers(jobs, spool, known)
