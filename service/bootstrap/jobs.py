"""Wires jobs: their store, their spool, the work of each kind, and the runner."""

import asyncio
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from service.bootstrap.models.duties import Duties
from service.engine.serving import Serving
from service.engine.work.lanes import Lanes
from service.errors import JobGivenUp
from service.features.jobs.counts import JobCounts
from service.features.jobs.runner import JobRunner, Kind
from service.features.jobs.service import Jobs
from service.features.streamers.write_pipeline import WritePipeline
from service.features.transfers.answers import Answer, AnswerJobs
from service.features.transfers.exports import KIND as EXPORT
from service.features.transfers.exports import ExportJobs
from service.features.transfers.imports import KIND as IMPORT
from service.features.transfers.imports import ImportJobs
from service.features.transfers.record import JobRecord
from service.features.transfers.service import Transfers
from service.files.spool import Spool
from service.http.auth.audit import AuditLog
from service.http.documents import problem_of
from service.index.faiss.rows.attributes import let_through
from service.scopes import Scope
from service.settings import Settings
from service.store.redis.jobs import JobLimits, RedisJobs
from service.store.redis.store import RedisStore
from service.telemetry.spans import Tracer


@dataclass(frozen=True)
class MoreKinds:
    """What jobs do for other features, by the name of the kind.

    Attributes:
        kinds: their work.
        answers: of questions whose answers are written to files.
        places: of such jobs, that this process has at the moment.
    """

    kinds: Mapping[str, Kind] = field(default_factory=dict[str, Kind])
    answers: Mapping[str, Answer] = field(default_factory=dict[str, Answer])
    places: Callable[[], Collection[str]] = tuple


@dataclass(frozen=True)
class OpenedJobs:
    """The services of jobs, and the name of this replica, which outlives its process."""

    jobs: Jobs
    transfers: Transfers
    replica: str


async def open_jobs(
    store: RedisStore,
    writes: WritePipeline,
    serving: Serving,
    lanes: Lanes,
    settings: Settings,
    more: MoreKinds,
    audit: AuditLog,
    duties: Duties,
    counts: JobCounts,
    replica: str,
    tracer: Tracer | None = None,
) -> OpenedJobs:
    """Jobs, and their runner, which runs while the model serves."""
    known = settings.jobs
    spool = Spool(settings.spool_folder, known.spool_bytes)
    await asyncio.to_thread(spool.open)
    given_up = json.dumps(problem_of(JobGivenUp(JobGivenUp.example))).encode()
    kept = RedisJobs(
        store.client, JobLimits(known.lease_s, known.max_queued, known.keep_s, given_up)
    )
    record = JobRecord(audit)
    page_bytes = settings.limits.page_bytes
    with_files: dict[str, Kind] = {
        EXPORT: ExportJobs(store, lanes, spool, let_through, page_bytes, record),
        **{kind: AnswerJobs(answer, spool) for kind, answer in more.answers.items()},
    }
    imports = ImportJobs(writes, lanes, spool, settings.limits, known, serving.manifest, record)
    kinds: dict[str, Kind] = {IMPORT: imports, **with_files, **more.kinds}
    runner = JobRunner(
        kept,
        kinds,
        (spool.place, replica),
        at_once=known.at_once,
        lease_s=known.lease_s,
        counts=counts,
        tracer=tracer,
        places_now=more.places,
    )
    duties.add(runner.start, runner.stop)
    scopes: dict[str, Scope] = {name: kind.scope for name, kind in kinds.items()}
    hidden = [name for name, kind in kinds.items() if kind.hides_result]
    jobs = Jobs(kept, known, runner.wake, scopes, hidden)
    return OpenedJobs(jobs, Transfers(jobs, spool, known, frozenset(with_files)), replica)
