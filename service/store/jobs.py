"""The store's interface for jobs: long work that survives its process, run by one runner at a time.

A job is queued, then running under a lease, then succeeded, failed or cancelled. A lease has a
number, its token, which grows with each: whatever a runner writes is refused once another one has
the job, so a runner that stood still and wakes up again can do no harm.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from service.store.once import Once

ANYWHERE = ""
"""In place of a place: any runner that knows the kind runs the job."""
State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
FINISHED: frozenset[State] = frozenset(("succeeded", "failed", "cancelled"))
Settled = Literal["succeeded", "failed", "cancelled"]


class LeaseLost(Exception):
    """Another runner has the job, it is finished, or it is further: nothing was written."""


@dataclass(frozen=True)
class Lease:
    """The right to work on a job, until another one takes it over."""

    job_id: str
    token: int


@dataclass(frozen=True)
class NewJob:
    """A job to be queued.

    Attributes:
        job_id: in byte order of these, jobs are listed.
        kind: what is to be done.
        place: of the spool or the replica that it needs; other runners leave it alone. `ANYWHERE`
            for a job that needs neither.
        input: JSON bytes, what its kind needs to know.
        total: how much there is to do; None while that is not known.
        once: names the request, if it is to be carried out once however often it is sent.
        traceparent: of the span of the request that queues it; empty where that is not traced.
        by: id and name of the key that asks for it; empty where nobody does.
    """

    job_id: str
    kind: str
    place: str
    input: bytes
    total: int | None = None
    once: Once | None = None
    traceparent: str = ""
    by: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class JobStep:
    """Progress of a job that is recorded in one step with a write of streamers.

    The store adds how many of them were created and updated.

    Attributes:
        lease: of whoever writes; the write is refused without it.
        checkpoint: JSON bytes, where another runner continues.
        after: how much was done before; anything else, and the step was made already.
        done: how much of the total is done with it.
    """

    lease: Lease
    checkpoint: bytes
    after: int
    done: int


@dataclass(frozen=True)
class Job:
    """A stored job; times are seconds since 1970 by the store's clock.

    Attributes:
        revision: grows with every change.
        checkpoint: JSON bytes, where the next runner continues; empty at the beginning.
        done: how much of `total` is done.
        created, updated: streamers that its writes created and updated.
        sequence: of the last of its writes; 0 without one.
        result: JSON bytes of a job that succeeded.
        error: JSON bytes, a problem document, of a job that failed.
        began_at, began_done: when the present attempt began, and what was done then.
        attempts: how often a runner began or continued it.
        token: of its newest lease.
        is_cancelling: it runs, and its runner will notice that it is to end.
        traceparent: as `NewJob.traceparent`.
        is_retried: somebody had it queued again after it failed or was cancelled; not told by
            `JobStore.page`.
        key_id, key_name: of the key that asked for it, or that had it queued again last; empty
            where nobody did, and of jobs that an earlier release queued.
    """

    job_id: str
    kind: str
    place: str
    state: State
    revision: int
    input: bytes
    checkpoint: bytes
    done: int
    total: int | None
    created: int
    updated: int
    sequence: int
    result: bytes
    error: bytes
    created_at: float
    updated_at: float
    began_at: float
    began_done: int
    attempts: int
    token: int
    is_cancelling: bool
    traceparent: str = ""
    is_retried: bool = False
    key_id: str = ""
    key_name: str = ""

    @property
    def lease(self) -> Lease:
        """The newest lease."""
        return Lease(self.job_id, self.token)


class JobStore(Protocol):
    """Jobs that are on disk. All methods raise StoreUnavailable when the store does not answer."""

    async def submit(self, job: NewJob) -> str | None:
        """Queue a job, once; None if too many are queued or running, and nothing was done.

        Returns:
            Its id, or that of the job which an earlier one of the same requests (`NewJob.once`)
            queued and which is still kept; nothing was done then.

        Raises:
            IdempotencyKeyReused: another request has that name.
        """
        ...

    async def get(self, job_id: str) -> Job | None:
        """A job; None if there is none, or no longer."""
        ...

    async def queued_by(self, once: Once) -> Job | None:
        """The job that an earlier request with this name queued; None if none, or no longer.

        Raises:
            IdempotencyKeyReused: it was another request.
        """
        ...

    async def page(self, before: str, limit: int) -> list[Job]:
        """Up to `limit` jobs, the newest first, strictly before an id ("" = from the newest).

        Without their inputs and checkpoints, which may be large.
        """
        ...

    def asked(self, kind: str) -> AsyncIterator[Mapping[str, bytes]]:
        """Inputs of all jobs of a kind, by id, in parts; those queued meanwhile come too."""
        ...

    async def known(self, job_ids: Sequence[str]) -> list[bool]:
        """Which jobs are still there."""
        ...

    async def is_full(self) -> bool:
        """Whether `submit` would refuse a job."""
        ...

    async def active(self) -> dict[tuple[str, State], int]:
        """How many jobs are queued and running, by kind and state."""
        ...

    async def claim(
        self, places: Collection[str], kinds: Collection[str], alone: Collection[str] = ()
    ) -> Job | None:
        """Take the job that has waited longest, if any is there to be run: the lease begins.

        It is queued, or its lease is over; one whose runners died too often fails in place of that,
        and is returned as one that has failed.

        Args:
            places: that the runner has.
            kinds: that it knows.
            alone: of these, those of which only one job runs at a time, whoever runs it.
        """
        ...

    async def hold(self, lease: Lease) -> bool:
        """Make a lease last longer; whether the job is to be cancelled.

        Raises:
            LeaseLost: it is not this runner's any more.
        """
        ...

    async def advance(self, lease: Lease, checkpoint: bytes, done: int, total: int | None) -> None:
        """Record progress.

        Raises:
            LeaseLost: it is not this runner's any more.
        """
        ...

    async def release(self, lease: Lease) -> None:
        """Queue a running job again, at its checkpoint.

        Raises:
            LeaseLost: it is not this runner's any more.
        """
        ...

    async def finish(
        self, lease: Lease, state: Settled, outcome: bytes = b"", *, restart: bool = False
    ) -> None:
        """End a running job; it is kept for a while.

        Args:
            lease: of the runner.
            state: how it ended.
            outcome: JSON bytes: the result of one that succeeded, the error of one that failed.
            restart: its checkpoint is of no use, so that it begins anew when it is retried.

        Raises:
            LeaseLost: it is not this runner's any more.
        """
        ...

    async def cancel(self, job_id: str) -> Job | None:
        """Cancel a queued job, ask a running one to end, leave a finished one; how it is then."""
        ...

    async def retry(
        self, job_id: str, changed: bytes | None = None, by: tuple[str, str] = ("", "")
    ) -> Job | None:
        """Queue a failed or cancelled job again, at its checkpoint; how it is then.

        Args:
            job_id: of the job.
            changed: its input from now on; None = as before.
            by: the key that asks for it, as of `NewJob`.

        Returns:
            The job, in another state where it could not be retried, or failed or cancelled as
            before where too many are queued.
        """
        ...

    async def forget(self, job_id: str) -> None:
        """Remove a finished job, leave another one."""
        ...

    async def sweep(self) -> None:
        """Forget the ids of jobs that were kept for long enough."""
        ...
