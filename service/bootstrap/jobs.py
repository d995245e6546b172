"""Wires jobs: their store, their spool, the work of each kind, and the runner."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable

from service.engine.serving import Serving
from service.engine.work.lanes import Lanes
from service.errors import JobGivenUp
from service.features.duplicates.rebuild import KIND as REBUILD
from service.features.duplicates.rebuild import RebuildJobs
from service.features.jobs.runner import JobRunner
from service.features.jobs.service import Jobs, new_id
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
from service.store.jobs import Job, NewJob
from service.store.redis.jobs import JobLimits, RedisJobs
from service.store.redis.store import RedisStore


async def open_jobs(
    store: RedisStore,
    writes: WritePipeline,
    serving: Serving,
    lanes: Lanes,
    settings: Settings,
    audit: AuditLog,
    rebuilds: RebuildJobs,
    stack: contextlib.AsyncExitStack,
) -> tuple[Jobs, Transfers, Callable[[], Awaitable[Job]]]:
    """Jobs, and their runner, which `stack` stops; the last queues a rebuild of duplicates."""
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
            REBUILD: rebuilds,
        },
        spool.place,
        at_once=known.at_once,
        lease_s=known.lease_s,
    )
    runner.start()
    stack.push_async_callback(runner.stop)
    jobs = Jobs(kept, known, runner.wake)

    async def rebuild() -> Job:
        return await jobs.submit(NewJob(new_id(), REBUILD, spool.place, b"{}"))

    return jobs, Transfers(jobs, spool, known), rebuild
