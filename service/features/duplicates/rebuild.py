"""Compares every streamer anew: the first time, when the log has a gap, or when it is asked for."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from itertools import islice
from typing import Any

from service.errors import Unavailable
from service.features.duplicates.evaluation import Evaluation
from service.features.jobs.runner import Kind, RunningJob, persist
from service.scopes import Scope
from service.store.base import Position, StreamerStore
from service.store.duplicates import GroupStore, NotTheEvaluator, StepsLost
from service.store.jobs import LeaseLost

_log = logging.getLogger(__name__)
KIND = "duplicates"
_AT_ONCE = 500
NewEvaluation = Callable[[int], Evaluation]
"""Makes an evaluation for a lease's token."""


async def rebuild(
    evaluation: Evaluation,
    store: StreamerStore,
    cause: str,
    begin: Position,
    after: str,
    told: Callable[[str, int], Awaitable[None]],
) -> None:
    """Compare all streamers with each other and regroup them.

    Edges are written part by part, and the groups once, at the end: until then the old ones are
    answered, and who dies meanwhile leaves edges that are true already.

    Args:
        evaluation: opened to rebuild.
        store: of the streamers.
        cause: names the rebuild, once for all time.
        begin: where the log ended before the first streamer was read; from there it is followed.
        after: ids up to this one are done.
        told: after each part its last id and how many streamers it had.
    """
    while ids := await store.list_ids(after, _AT_ONCE):
        async with evaluation.turn:
            await evaluation.compare(ids)
        after = ids[-1]
        await told(after, len(ids))
    async with evaluation.turn:
        if gone := await evaluation.gone():
            await evaluation.compare(gone)
        while again := list(islice(evaluation.pending, _AT_ONCE)):
            await evaluation.compare(again)
        await evaluation.regroup(cause, begin)


@contextlib.asynccontextmanager
async def held(
    groups: GroupStore, token: int, lease_s: float
) -> AsyncGenerator["asyncio.Task[None]", None]:
    """Keep a lease while the context lasts, and let others have it then.

    Yields:
        What raises NotTheEvaluator when another process has taken it.
    """

    async def hold() -> None:
        while True:
            await asyncio.sleep(lease_s / 3)
            with contextlib.suppress(Unavailable):  # nobody else can take it meanwhile
                await groups.renew(token, lease_s)

    holding = asyncio.create_task(hold(), name="lease of duplicates")
    try:
        yield holding
    finally:
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
        with contextlib.suppress(Unavailable):  # then it ends by itself
            await groups.release(token)


class RebuildJobs(Kind):
    """The kind of job behind `POST /v1/duplicates:rebuild`.

    It takes the lease from whoever follows the log, who goes on when the job is done.
    """

    is_alone = True
    scope: Scope = "duplicates"

    def __init__(
        self,
        store: StreamerStore,
        groups: GroupStore,
        new_evaluation: NewEvaluation,
        ready: Callable[[], Awaitable[None]],
        lease_s: float,
        rules: str,
        model_version: str,
    ) -> None:
        """Rebuild what is kept in `groups`.

        Args:
            store: of the streamers.
            groups: where the groups are kept.
            new_evaluation: for a lease.
            ready: returns when there is an index to compare by.
            lease_s: length of the lease.
            rules: `Comparer.rules`.
            model_version: of the model whose evidence is compared.
        """
        self._store = store
        self._groups = groups
        self._new_evaluation = new_evaluation
        self._ready = ready
        self._lease_s = lease_s
        self._made_by = {"rules": rules, "model_version": model_version}

    async def run(self, job: RunningJob) -> Mapping[str, Any]:
        """Rebuild; a job that was interrupted goes on behind the last part that it compared.

        Where that was compared by other rules or with another model, or the store lost a part, all
        are compared again.
        """
        await self._ready()
        known = job.checkpoint if self._made_by.items() <= job.checkpoint.items() else None
        begin = Position(**known["begin"]) if known else await persist(self._store.position)
        after, done = (str(known["after"]), job.job.done) if known else ("", 0)
        total = max(await persist(self._store.count), done)
        cause = f"job {job.job.job_id}"

        async def told(last: str, count: int) -> None:
            nonlocal after, done, total
            after, done = last, done + count
            total = max(total, done)
            checkpoint = {"begin": vars(begin), "after": after, **self._made_by}
            await job.advance(checkpoint, done, total)

        async def compare() -> int:
            """Go on behind the last part; the number of groups."""
            token = await self._groups.claim(cause, self._lease_s, force=True)
            if token is None:
                raise LeaseLost
            async with held(self._groups, token, self._lease_s):
                evaluation = self._new_evaluation(token)
                try:
                    await evaluation.open(to_rebuild=True)
                    await rebuild(evaluation, self._store, cause, begin, after, told)
                except NotTheEvaluator as error:
                    raise LeaseLost from error
                finally:
                    evaluation.close()
            return evaluation.count

        await told(after, 0)
        while True:
            try:
                groups = await persist(compare)
                break
            except StepsLost as lost:  # of a part, maybe, that was told to be done
                _log.warning("groups of duplicates are made anew from the first: %s", lost)
                after, done = "", 0
                await told(after, 0)
        return {"streamers": done, "groups": groups, "sequence": begin.sequence}
