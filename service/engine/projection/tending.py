"""Keeps a collection that serves in order: garbage, segments, audits, and what serves no more."""

import asyncio
import logging
import math
import time
from collections.abc import Collection as Sized
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from service.engine.projection.audit import Audit
from service.engine.projection.lease import Lease
from service.engine.projection.record import OtherRecord, Projections, refusing
from service.engine.replica.follower import Follower
from service.errors import IndexUnavailable
from service.index.milvus.base import MilvusBase
from service.index.milvus.connection import CollectionLost, Connection
from service.store.base import INCOMPLETE, StreamerStore

_log = logging.getLogger(__name__)
_FLUSH_ROWS = 50_000
"""Rows after which what was written is sealed and gets an index."""
RETIRE_S = 60.0
"""Questions to a collection, or a model, that serves no more have ended by then."""


async def discard_after(lease: Lease, connection: Connection) -> None:
    """Delete what was written behind the place that was told: it comes again.

    Raises:
        IndexUnavailable: some may be deleted later.
        RevisionConflict: another process has the lease by now.
    """
    name, told = lease.record.collection, lease.record.sequence
    while late := await connection.call(name, lambda c: c.versions(told, (1 << 62))):
        await lease.begin_deletion()
        try:
            await connection.call(name, lambda c, late=late: c.delete(late))
        except IndexUnavailable:  # it may have deleted them
            await lease.confirm_deletion()
            raise
        await lease.confirm_deletion()
        await asyncio.sleep(0.1)


class Tending:
    """What is done now and then for the collection of a lease; begun anew with each."""

    def __init__(
        self,
        store: StreamerStore,
        records: Projections,
        lease: Lease,
        base: MilvusBase,
        follower: Follower,
        established: Sized[str],
        head: int,
        margin_s: float,
        audit_s: float,
    ) -> None:
        """Nothing is done yet.

        Args:
            store: whose log is written.
            records: also those of other models.
            lease: is held.
            base: the cluster, and what garbage there is.
            follower: has the live index.
            established: ids of established streamers.
            head: of the log. Rows up to there may be another process's, or deleted late as such.
            margin_s: what was written so long ago is seen by everyone.
            audit_s: how often the whole collection is compared with the index.
        """
        self._store = store
        self._records = records
        self._lease = lease
        self._base = base
        self._audit = Audit(store, base, follower, established)
        self._margin_s = margin_s
        self._audit_s = audit_s
        self._audit_at = time.monotonic() + margin_s
        self._audited_at = -math.inf
        self._head = head
        self._marked_at: float | None = None
        self._retired: tuple[tuple[str, ...], float] = (), 0.0
        self._undropped: set[str] = set()  # what could not be dropped, and was told
        self._unneeded: dict[str, float] = {}  # models, and since when
        self._unflushed = 0

    def wrote(self, rows: int) -> None:
        """Rows were inserted."""
        self._unflushed += rows

    async def once(self) -> None:
        """Do what is due.

        Raises:
            CollectionLost: the collection is not as it was made.
            RevisionConflict: another process has the lease by now.
            Unavailable: Milvus or the store does not answer.
        """
        name, call = self._lease.record.collection, self._base.connection.call
        number = self._lease.record.number
        problem = await call(name, lambda c: c.held(number))
        if problem is not None:
            raise CollectionLost(problem)
        garbage = await self._audit.garbage(self._lease.record)
        if garbage:
            await self._lease.confirm()
            await call(name, lambda c: c.delete(garbage))
        if self._unflushed >= _FLUSH_ROWS:
            self._unflushed = 0
            await call(name, lambda c: c.flush())
        is_settled = self._lease.record.settled >= self._head  # else it is not compared yet
        now = time.monotonic()
        # What it inserts is not seen by everyone before.
        is_due = self._base.is_audit_due and now >= self._audited_at + self._margin_s
        if is_due or (is_settled and now >= self._audit_at):
            self._base.is_audit_due = False
            self._audited_at, self._audit_at = now, now + self._audit_s
            await self._refuse((await self._audit.repair(self._lease.record)).refused)
        await self._mark_established()
        await self._retire_models()
        await self._drop_retired()

    async def _refuse(self, versions: Sequence[int]) -> None:
        """Let services search in memory what Milvus did not take."""
        if versions:
            await self._lease.change(partial(refusing, versions))

    async def _mark_established(self) -> None:
        """Let rows tell who is established by this process's list, where another one wrote them."""
        record, mine = self._lease.record, self._base.established
        if record.established == mine or record.settled < self._head:
            return
        if self._marked_at is None:
            refused = await self._audit.mark_established(record)
            if refused is not None:
                await self._refuse(refused)
                self._marked_at = time.monotonic()
        elif time.monotonic() >= self._marked_at + self._margin_s:  # everyone sees it
            self._marked_at = None
            await self._lease.change(lambda record: replace(record, established=mine))

    async def _retire_models(self) -> None:
        """Take over collections of models that neither serve nor are kept for a roll-back."""
        others, now = await self._records.others(), time.monotonic()
        kept = await self._store.kept_models()
        needed = {name.removeprefix(INCOMPLETE) for name in kept if name is not None}
        self._unneeded = {
            each.model_version: self._unneeded.get(each.model_version, now)
            for each in others
            if each.model_version not in needed
        }
        old: list[OtherRecord] = [
            each for each in others if now >= self._unneeded.get(each.model_version, now) + RETIRE_S
        ]
        if old:
            names = tuple(name for each in old for name in each.collections)
            await self._lease.change(
                lambda record: replace(record, retired=(*record.retired, *names)), old
            )

    async def _drop_retired(self) -> None:
        retired, now = self._lease.record.retired, time.monotonic()
        if retired != self._retired[0]:
            self._retired = retired, now
        if not retired or now < self._retired[1] + RETIRE_S:
            return
        await self._lease.confirm()
        dropped: set[str] = set()
        for old in retired:
            try:
                await self._base.connection.call(old, lambda c: c.drop())
                dropped.add(old)
            except IndexUnavailable as error:  # the one that serves goes on
                if old not in self._undropped:
                    _log.warning("Milvus collection %s can't be dropped yet: %s", old, error.detail)
                self._undropped.add(old)
        self._retired = (), 0.0  # the others are tried again as late
        if dropped:
            await self._lease.change(
                lambda record: replace(
                    record, retired=tuple(r for r in record.retired if r not in dropped)
                )
            )
