"""Jobs on Valkey or Redis, beside the streamers; one script makes every change.

ss:jobs          sorted set of all job ids, each with score 0: byte order, which is that of time
ss:jobs:active   sorted set of those that are queued or running, by when they were queued (ms)
ss:jobs:finished sorted set of those that are finished, by when that was (ms)
ss:jobs:alone    hash: by kind, the job beside which no other of it runs, and its lease's end, and
                 when that was written
ss:jobs:once:<k> what a request that is carried out once queued, for a day: "job id fingerprint";
                 it counts while the job is kept
ss:job:<id>      hash: the fields of `Job`, and until when its lease lasts, and when that was
                 written (ms)
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from service.errors import IdempotencyKeyReused, StoreUnavailable
from service.store.jobs import Job, Lease, LeaseLost, NewJob, Settled, State
from service.store.once import REMEMBERED_S, Once
from service.store.redis.client import Argument, RedisClient

_SCRIPT = Path(__file__).with_name("jobs.lua").read_text(encoding="utf-8")
_READ_AT_ONCE = 500


@dataclass(frozen=True)
class JobLimits:
    """How many jobs there may be, and for how long.

    Attributes:
        lease_s: without a sign of its runner for so long, another one takes a job over.
        most_active: queued and running jobs.
        most_kept: all jobs; those that finished first make room for another.
        keep_s: how long a finished job is kept at most.
        most_crashes: runners that may die on a job before it is given up.
        given_up: JSON bytes, the problem document of such a job.
    """

    lease_s: float
    most_active: int
    keep_s: float
    given_up: bytes
    most_kept: int = 10_000
    most_crashes: int = 5


_SHOWN = (
    "total",
    "kind",
    "place",
    "state",
    "revision",
    "done",
    "created",
    "updated",
    "sequence",
    "result",
    "error",
    "created_at",
    "updated_at",
    "began_at",
    "began_done",
    "attempts",
    "token",
    "cancelling",
    "traceparent",
    "key_id",
    "key_name",
)
"""Fields of a job but what only those who run it need."""


class RedisJobs:
    """A `JobStore` in the store of the streamers."""

    def __init__(self, client: RedisClient, limits: JobLimits, *, prefix: str = "ss:") -> None:
        """Keep jobs.

        Args:
            client: of the store.
            limits: sizes and times.
            prefix: how every key begins.
        """
        self._client = client
        self._limits = limits
        self._ids, self._active = f"{prefix}jobs", f"{prefix}jobs:active"
        self._finished = f"{prefix}jobs:finished"
        self._alone, self._once = f"{prefix}jobs:alone", f"{prefix}jobs:once:"
        self._job = f"{prefix}job:"
        self._script = client.script(_SCRIPT)
        self._unanswered: dict[str, str] = {}  # names of claims, by job
        self._claiming = asyncio.Lock()

    async def _change(
        self, operation: str, job_id: str, *arguments: Argument, once: str = ""
    ) -> int | bytes | list[bytes]:
        limits, job = self._limits, self._job + job_id
        asked_once = self._once + once if once else job
        return await self._script(
            [job, self._ids, self._active, self._finished, self._alone, asked_once],
            [
                *(operation, job_id, round(limits.lease_s * 1000)),
                *(limits.most_active, limits.most_kept),
                *(round(limits.keep_s * 1000), limits.most_crashes, *arguments),
            ],
        )

    async def _change_leased(
        self, operation: str, lease: Lease, *arguments: Argument
    ) -> int | bytes | list[bytes]:
        changed = await self._change(operation, lease.job_id, lease.token, *arguments)
        if not changed:
            raise LeaseLost(f"job {lease.job_id} is no longer run under lease {lease.token}")
        return changed

    async def submit(self, job: NewJob) -> str | None:
        """Queue a job, once; see `JobStore.submit`."""
        total = () if job.total is None else ("total", job.total)
        traced = ("traceparent", job.traceparent) if job.traceparent else ()
        fields = ("kind", job.kind, "place", job.place, "input", job.input, *total, *traced)
        fields += _by(job.by)
        key, fingerprint = ("", "") if job.once is None else (job.once.key, job.once.fingerprint)
        terms = (fingerprint, REMEMBERED_S * 1000)
        done = await self._change("submit", job.job_id, *terms, *fields, once=key)
        if isinstance(done, bytes):
            return _queued_before(done, fingerprint)
        return job.job_id if done else None

    async def get(self, job_id: str) -> Job | None:
        """A job; None if there is none, or no longer."""
        (found,) = await self._jobs([job_id])
        return found

    async def queued_by(self, once: Once) -> Job | None:
        """The job that an earlier request queued; see `JobStore.queued_by`."""
        found: bytes | None = await self._client.ask("GET", self._once + once.key, confirmed=True)
        return None if found is None else await self.get(_queued_before(found, once.fingerprint))

    async def page(self, before: str, limit: int) -> list[Job]:
        """Jobs, the newest first; see `JobStore.page`."""
        found: list[Job] = []
        while len(found) < limit:
            start = f"({before}" if before else "+"
            ids: list[bytes] = await self._client.ask(
                "ZREVRANGEBYLEX", self._ids, start, "-", "LIMIT", 0, limit - len(found)
            )
            if not ids:
                break
            names = [job_id.decode() for job_id in ids]
            found += [job for job in await self._shown(names) if job is not None]
            before = names[-1]
        return found

    async def asked(self, kind: str) -> AsyncIterator[Mapping[str, bytes]]:
        """Inputs of all jobs of a kind, by id, in parts; see `JobStore.asked`."""
        async for ids in self._parts():
            kinds = await self._client.ask_all([("HGET", self._job + i, "kind") for i in ids])
            own = [i for i, each in zip(ids, kinds, strict=True) if each == kind.encode()]
            found = await self._client.ask_all([("HGET", self._job + i, "input") for i in own])
            yield {i: given for i, given in zip(own, found, strict=True) if given is not None}

    async def known(self, job_ids: Sequence[str]) -> list[bool]:
        """Which jobs are still there."""
        commands = [("EXISTS", self._job + job_id) for job_id in job_ids]
        return [bool(there) for there in await self._client.ask_all(commands)]

    async def is_full(self) -> bool:
        """Whether `submit` would refuse a job."""
        active = await self._client.ask("ZCARD", self._active)
        return int(active) >= min(self._limits.most_active, self._limits.most_kept)

    async def active(self) -> dict[tuple[str, State], int]:
        """How many jobs are queued and running, by kind and state."""
        ids: list[bytes] = await self._client.ask("ZRANGE", self._active, 0, -1)
        asked = [("HMGET", self._job + job_id.decode(), "kind", "state") for job_id in ids]
        found = [row for row in await self._client.ask_all(asked) if row[0] is not None]
        return Counter((kind.decode(), cast(State, state.decode())) for kind, state in found)

    async def claim(
        self, places: Collection[str], kinds: Collection[str], alone: Collection[str] = ()
    ) -> Job | None:
        """Take the job that has waited longest; see `JobStore.claim`.

        One at a time: where replicas are missing, each claim of a job is carried out and fails, and
        a second one's name would replace that of the one which began the lease.
        """
        async with self._claiming:
            return await self._claim(places, kinds, alone)

    async def _claim(
        self, places: Collection[str], kinds: Collection[str], alone: Collection[str]
    ) -> Job | None:
        ids: list[bytes] = await self._client.ask("ZRANGE", self._active, 0, -1)
        names = [job_id.decode() for job_id in ids]
        asked = [("HMGET", self._job + name, "kind", "place") for name in names]
        found = await self._client.ask_all(asked)
        for name, (kind, needed) in zip(names, found, strict=True):
            known, place = (kind or b"").decode(), (needed or b"").decode()
            if kind is not None and not (known in kinds and place in places):
                continue
            if (job := await self._claimed(name, place, known in alone)) is not None:
                return job
        return None

    async def _claimed(self, job_id: str, place: str, is_alone: bool) -> Job | None:
        """A job whose lease begins, or began by a claim whose answer was lost; or one given up."""
        claim = self._unanswered.pop(job_id, "") or secrets.token_hex(8)
        terms = (place, self._limits.given_up, int(is_alone), claim)
        try:
            row = await self._change("claim", job_id, *terms)
        except StoreUnavailable:
            self._unanswered[job_id] = claim
            raise
        if isinstance(row, list):
            return _to_job(job_id, dict(zip(row[::2], row[1::2], strict=True)))
        return None

    async def hold(self, lease: Lease) -> bool:
        """Make a lease last longer; whether the job is to be cancelled."""
        return await self._change_leased("hold", lease) == 2

    async def advance(self, lease: Lease, checkpoint: bytes, done: int, total: int | None) -> None:
        """Record progress; see `JobStore.advance`."""
        known = () if total is None else ("total", total)
        await self._change_leased("advance", lease, "checkpoint", checkpoint, "done", done, *known)

    async def release(self, lease: Lease) -> None:
        """Queue a running job again, at its checkpoint."""
        await self._change_leased("release", lease)

    async def finish(
        self, lease: Lease, state: Settled, outcome: bytes = b"", *, restart: bool = False
    ) -> None:
        """End a running job; see `JobStore.finish`."""
        field = {"succeeded": ("result", outcome), "failed": ("error", outcome), "cancelled": ()}
        anew = ("restart", 1) if restart else ()
        await self._change_leased("finish", lease, state, *field[state], *anew)

    async def cancel(self, job_id: str) -> Job | None:
        """Cancel a queued job, or ask a running one to end; see `JobStore.cancel`."""
        await self._change("cancel", job_id)
        return await self.get(job_id)

    async def retry(
        self, job_id: str, changed: bytes | None = None, by: tuple[str, str] = ("", "")
    ) -> Job | None:
        """Queue a failed or cancelled job again; see `JobStore.retry`."""
        asked = () if changed is None else ("input", changed)
        await self._change("retry", job_id, *_by(by), *asked)
        return await self.get(job_id)

    async def forget(self, job_id: str) -> None:
        """Remove a finished job, leave another one."""
        await self._change("forget", job_id)

    async def sweep(self) -> None:
        """Forget the ids of jobs that were kept for long enough."""
        async for ids in self._parts():
            there = await self.known(ids)
            gone = [job_id for job_id, is_there in zip(ids, there, strict=True) if not is_there]
            if gone:
                await self._client.ask("ZREM", self._finished, *gone)
                await self._client.ask("ZREM", self._ids, *gone)

    async def _parts(self) -> AsyncIterator[list[str]]:
        """Ids of all jobs, the oldest first."""
        after = "-"
        while True:
            found: list[bytes] = await self._client.ask(
                "ZRANGEBYLEX", self._ids, after, "+", "LIMIT", 0, _READ_AT_ONCE
            )
            if not found:
                return
            ids = [job_id.decode() for job_id in found]
            yield ids
            after = f"({ids[-1]}"

    async def _jobs(self, job_ids: Sequence[str]) -> list[Job | None]:
        rows = await self._client.ask_all([("HGETALL", self._job + i) for i in job_ids])
        return [_to_job(i, row) if row else None for i, row in zip(job_ids, rows, strict=True)]

    async def _shown(self, job_ids: Sequence[str]) -> list[Job | None]:
        """Jobs without what only those who run them need, which may be large."""
        rows = await self._client.ask_all([("HMGET", self._job + i, *_SHOWN) for i in job_ids])
        named = [
            {name.encode(): v for name, v in zip(_SHOWN, row, strict=True) if v is not None}
            for row in rows
        ]
        return [_to_job(i, row) if row else None for i, row in zip(job_ids, named, strict=True)]


def _by(key: tuple[str, str]) -> tuple[str, ...]:
    """Fields of who asks; none where nobody does."""
    return ("key_id", key[0], "key_name", key[1]) if key[0] else ()


def _queued_before(note: bytes, fingerprint: str) -> str:
    """The id of the job that a request queued; raises IdempotencyKeyReused of another request."""
    job_id, of = note.decode().split(" ")
    if of != fingerprint:
        raise IdempotencyKeyReused(IdempotencyKeyReused.example)
    return job_id


def _to_job(job_id: str, row: Mapping[Any, bytes]) -> Job:
    def number(name: str) -> int:
        return int(row.get(name.encode(), b"0"))

    def text(name: str) -> str:
        return row.get(name.encode(), b"").decode()

    total = row.get(b"total")
    return Job(
        job_id=job_id,
        kind=text("kind"),
        place=text("place"),
        state=cast(State, text("state")),
        revision=number("revision"),
        input=row.get(b"input", b""),
        checkpoint=row.get(b"checkpoint", b""),
        done=number("done"),
        total=None if total is None else int(total),
        created=number("created"),
        updated=number("updated"),
        sequence=number("sequence"),
        result=row.get(b"result", b""),
        error=row.get(b"error", b""),
        created_at=number("created_at") / 1000,
        updated_at=number("updated_at") / 1000,
        began_at=number("began_at") / 1000,
        began_done=number("began_done"),
        attempts=number("attempts"),
        token=number("token"),
        is_cancelling=row.get(b"cancelling") == b"1",
        traceparent=text("traceparent"),
        is_retried=row.get(b"retried") == b"1",
        key_id=text("key_id"),
        key_name=text("key_name"),
    )
