"""Writes the store's log into a collection of Milvus, and says up to where it did.

A row is inserted under its version, which never comes back, so any write can be repeated or come
late. Readers take a hit only if it is its streamer's newest version, and keep what is newer than
`settled` themselves; what was replaced is deleted once the newer version is settled.
"""

import asyncio
import contextlib
import hashlib
import logging
import secrets
import time
from collections import deque
from collections.abc import Collection as Sized
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from service.engine.projection.filling import Filling
from service.engine.projection.history import lost_at
from service.engine.projection.inserting import inserted
from service.engine.projection.lease import Lease
from service.engine.projection.pace import Pace, pause_s
from service.engine.projection.record import (
    MOST_REFUSED,
    Building,
    Projection,
    Projections,
    refusing,
)
from service.engine.projection.source import upsert_of
from service.engine.projection.tending import Tending, discard_after
from service.engine.replica.follower import Follower
from service.engine.replica.record_check import RecordCheck
from service.engine.replica.snapshots import Model
from service.engine.work.background import Background
from service.errors import IndexUnavailable, ServiceError, Unavailable
from service.index.base import Upsert
from service.index.milvus.base import MilvusBase
from service.index.milvus.connection import CollectionLost
from service.store.base import INCOMPLETE, LogGap, Position, StreamerStore, WentBack
from service.store.documents import RevisionConflict

_log = logging.getLogger(__name__)
_BEAT_S, _TEND_S, _AGAIN_S = 0.5, 2.0, 1.0
_MOST_RETIRED = 100
"""Names in a record, if builds fail for ever; whatever served is among them."""


class Projector:
    """Tries to have the lease, and writes while it does."""

    def __init__(
        self,
        store: StreamerStore,
        records: Projections,
        base: MilvusBase,
        follower: Follower,
        model: Model,
        established: Sized[str],
        owner: str,
        pace: Pace,
    ) -> None:
        """Nothing is written before `start`.

        Args:
            store: whose log is written.
            records: who writes, and up to where.
            base: the connection, and what garbage there is.
            follower: of this process; its index is what the collection is compared with.
            model: whose vectors are written.
            established: ids of established streamers.
            owner: this process.
            pace: times.
        """
        self._store = store
        self._records = records
        self._lease = Lease(records, owner, pace.lease_s)
        self._base = base
        self._follower = follower
        self._model = model
        self._established = frozenset(established)
        self._pace = pace
        self._written: deque[tuple[float, int]] = deque()  # times and places, not settled yet
        self._place = 0, ""  # sequence and mark up to which the log is written
        self._tending: Tending | None = None
        self._rebuild: tuple[str, str] | None = None  # a collection, and why it serves no more
        self._gap: tuple[str, str] | None = None  # a collection, and what the log lacks for it
        self._builds = 0  # one after the other, none of which went on for long
        self._not_before = 0.0
        self._failure: str | None = None
        self._running = Background("projector")
        self.writes = False

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._running.start(self._run())

    async def stop(self) -> None:
        """Write no more, and let another process do so."""
        await self._running.stop()

    async def _run(self) -> None:
        while True:
            try:
                await self._lease.settle_deletion()
                is_time = time.monotonic() >= self._not_before
                if is_time and await self._is_kept() and await self._lease.claim():
                    await self._lead()
            except RevisionConflict:
                _log.info("another process writes the collection")
            except _NotKept:
                _log.info("model %s is kept no more", self._model.version)
            except (CollectionLost, WentBack) as error:
                self._rebuild = self._lease.record.collection, str(error)
            except LogGap as error:
                self._gap = self._lease.record.collection, str(error)
            except Unavailable as error:
                if error.detail != self._failure:
                    _log.warning("Milvus cluster %s can't be written: %s", self._base.name, error)
                self._failure = error.detail
            except Exception as error:  # noqa: BLE001 - or the collection would stand still
                if repr(error) != self._failure:
                    _log.exception("Milvus cluster %s can't be written", self._base.name)
                self._failure = repr(error)
            await asyncio.sleep(_AGAIN_S)

    async def _is_kept(self) -> bool:
        """Whether everything that is written has this model's vectors."""
        active, target = await self._store.kept_models()
        mine = self._model.version
        return active in (None, mine, INCOMPLETE + mine) or target == mine

    async def _lead(self) -> None:
        """Write until something fails."""
        self._begin_at(self._lease.record)
        self.writes = True
        try:
            await _all(self._beat(), self._write())
        except asyncio.CancelledError:
            await self._release()
            raise
        except (RevisionConflict, _NotKept):
            raise
        except Exception as error:
            # Another process may reach Milvus, so it has its turn; and a build that failed is not
            # tried again and again.
            is_lost = isinstance(error, CollectionLost)
            if self._builds or (isinstance(error, IndexUnavailable) and not is_lost):
                self._not_before = time.monotonic() + pause_s(self._pace.lease_s, self._builds)
                await self._release()
            raise
        finally:
            self.writes = False

    async def _release(self) -> None:
        with contextlib.suppress(ServiceError, RevisionConflict, TimeoutError):
            async with asyncio.timeout(1):
                await self._lease.release()

    def _begin_at(self, record: Projection) -> None:
        self._place = record.sequence, record.mark
        self._written = deque([(time.monotonic(), record.sequence)])

    async def _beat(self) -> None:
        """Tell up to where the collection is written and settled, and give signs of life."""
        told_at = time.monotonic()
        while True:
            await asyncio.sleep(min(_BEAT_S, self._pace.lease_s / 3))
            now = time.monotonic()
            is_due = now >= told_at + self._pace.lease_s / 3
            if is_due or self._moved(self._lease.record, now) != self._lease.record:
                told_at = now
                await self._lease.change(lambda record, now=now: self._moved(record, now))

    def _moved(self, record: Projection, now: float) -> Projection:
        """The record with the places that are reached."""
        settled, until = record.settled, now - self._pace.margin_s
        for at, sequence in self._written:
            if at > until:
                break
            settled = max(settled, sequence)
        while self._written and self._written[0][1] <= record.settled:
            self._written.popleft()
        sequence, mark = self._place
        return replace(record, sequence=sequence, mark=mark, settled=settled)

    async def _write(self) -> None:
        self._base.forget_superseded()  # which the store may have taken back since
        why, record = await self._why_anew(), self._lease.record
        if why is not None:
            await self._build(why)
        elif self._gap is not None and self._gap[0] == record.collection:
            await self._catch_up(self._gap[1])
        self._rebuild = self._gap = None
        if self._lease.record.established not in ("", self._base.established):
            await self._lease.change(lambda record: replace(record, established=""))
        record = self._lease.record
        # Else it catches up, and what was inserted for that is needed.
        await self._store.check_continues(_place_of(record))
        await discard_after(self._lease, self._base.connection)
        self._failure = None
        head = (await self._store.position()).sequence
        self._tending = Tending(
            *(self._store, self._records, self._lease, self._base, self._follower),
            *(self._established, head, self._pace.margin_s, self._pace.audit_s),
        )
        await _all(self._tend(self._tending), self._follow())

    async def _tend(self, tending: Tending) -> None:
        while True:
            await asyncio.sleep(_TEND_S)
            await tending.once()
            self._builds = 0

    async def _why_anew(self) -> str | None:
        """Why there must be another collection; None where the one that serves goes on."""
        record, head = self._lease.record, await self._store.position()
        if self._rebuild is not None and self._rebuild[0] == record.collection:
            return self._rebuild[1]
        if not record.collection:
            return "there is none yet"
        if record.epoch != head.epoch:
            return "it is of another history of the store"
        if record.sequence > head.sequence:
            return f"it is at {record.sequence}, ahead of the store at {head.sequence}"
        why = await lost_at(self._store, _place_of(record))
        if why is None and not record.building.name:  # it may have caught up to there
            why = await lost_at(self._store, Position(record.epoch, *record.reached))
        if why is not None:
            return why
        return await self._base.connection.call(record.collection, lambda c: c.held(record.number))

    async def _build(self, why: str) -> None:
        """Make a new collection of all that is stored, and let it serve."""
        _log.warning("Milvus cluster %s gets another collection: %s", self._base.name, why)
        epoch = (await self._store.position()).epoch
        building, is_new = await self._begun(epoch), False
        if building is None:
            building, is_new = await self._begin(epoch), True
        name = building.name
        _log.info("Milvus collection %s is %s", name, "built" if is_new else "gone on with")
        self._builds += 1
        try:
            filled = await self._filling.fill(name, epoch, is_new=is_new)
        except (CollectionLost, LogGap):
            await self._lease.change(lambda record: replace(record, building=Building(name)))
            raise

        def serve(record: Projection) -> Projection:
            served = (record.collection,) if record.collection else ()
            changed = replace(
                record,
                collection=name,
                number=building.number,
                building=Building(),
                reached=(0, ""),
                retired=(*record.retired, *served),
                epoch=epoch,
                sequence=filled.place.sequence,
                mark=filled.place.mark,
                settled=filled.settled,
                refused=tuple(filled.refused[-MOST_REFUSED:]),
                established=building.established,
            )
            self._begin_at(changed)
            self._base.forget_superseded()
            return changed

        await self._lease.change(serve)
        self._note_garbage(filled.garbage, filled.place.sequence)
        _log.info("Milvus collection %s serves, with %d rows", name, filled.rows)

    @property
    def _filling(self) -> Filling:
        return Filling(
            *(self._store, self._base, self._follower, self._insert, self._note),
            self._pace.margin_s,
        )

    async def _note(self, place: Position) -> None:
        reached = place.sequence, place.mark
        await self._lease.change(lambda record: replace(record, reached=reached))

    async def _begun(self, epoch: str) -> Building | None:
        """What an earlier build has left, if it can be gone on with; None where it is dropped."""
        known, call = self._lease.record.building, self._base.connection.call
        if not known.name:
            return None
        reached = Position(epoch, *self._lease.record.reached)
        is_usable = known.number and known.epoch == epoch
        is_usable = is_usable and await lost_at(self._store, reached) is None
        if is_usable and await call(known.name, lambda c: c.held(known.number)) is None:
            if known.established == self._base.established:
                return known
            building = replace(known, established="")  # its rows are of several lists
            await self._lease.change(lambda record: replace(record, building=building))
            return building
        await call(known.name, lambda c: c.drop())  # there is no room for one of each attempt
        # Whoever creates it may do so late.
        retired = (*self._lease.record.retired, known.name)[:_MOST_RETIRED]
        await self._lease.change(lambda r: replace(r, building=Building(), retired=retired))
        return None

    async def _begin(self, epoch: str) -> Building:
        name, mine = new_name(self._model.version), self._base.established
        await self._lease.change(lambda record: replace(record, building=Building(name)))
        try:
            number = await self._base.connection.call(name, lambda c: c.create())
            building = Building(name, number, epoch, mine)
            await self._lease.change(lambda record: replace(record, building=building))
        except Exception:
            with contextlib.suppress(ServiceError):  # else whoever builds next drops it
                await self._base.connection.call(name, lambda c: c.drop())
            raise
        return building

    async def _catch_up(self, why: str) -> None:
        """Bring the collection that serves to where the log has everything that comes after."""
        before = self._lease.record
        _log.warning("Milvus collection %s catches up: %s", before.collection, why)
        filled = await self._filling.fill(before.collection, before.epoch, is_new=False)

        def go_on(record: Projection) -> Projection:
            changed = replace(
                refusing(filled.refused, record),
                reached=(0, ""),
                sequence=filled.place.sequence,
                mark=filled.place.mark,
                settled=max(record.settled, filled.settled),
            )
            self._begin_at(changed)
            return changed

        await self._lease.change(go_on)
        self._note_garbage(filled.garbage, filled.place.sequence)

    def _note_garbage(self, versions: Sequence[int], by: int) -> None:
        for version in versions:
            self._base.note_superseded(version, by)

    async def _follow(self) -> None:
        record, check, mine = self._lease.record, RecordCheck(self._model), self._model.version
        feed = self._store.follow(record.sequence, record.epoch, record.mark)
        async with contextlib.aclosing(feed):
            async for entries in feed:
                if any(e.entry and e.entry.model_version not in ("", mine) for e in entries):
                    # What the collection lacks may come without the log: it is built anew then.
                    await self._lease.change(lambda record: replace(record, epoch=""))
                    raise _NotKept
                newest = {entry.streamer_id: entry for entry in entries}
                rows = [
                    upsert_of(each.entry)
                    for each in newest.values()
                    if each.entry is not None and check.accepts(each.entry) and each.entry.embedding
                ]
                refused = await self._insert(record.collection, rows)
                if refused:  # told before the place is, or nobody would keep them
                    await self._lease.change(partial(refusing, refused))
                self._place = entries[-1].sequence, entries[-1].mark
                self._written.append((time.monotonic(), entries[-1].sequence))

    async def _insert(
        self, name: str, rows: Sequence[Upsert], *, are_new: bool = True
    ) -> list[int]:
        if self._tending is not None:
            self._tending.wrote(len(rows))
        return await inserted(self._base.connection, name, rows, self._established, are_new=are_new)


class _NotKept(Exception):
    """The log has entries without this model's vectors."""


def _place_of(record: Projection) -> Position:
    return Position(record.epoch, record.sequence, record.mark)


async def _all(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run until one of them fails; the others are cancelled then."""
    tasks = [asyncio.create_task(each) for each in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def new_name(model_version: str) -> str:
    """A name for a collection of a model that no other one has."""
    of_model = hashlib.sha256(model_version.encode()).hexdigest()[:12]
    return f"similar_streamer_{of_model}_{secrets.token_hex(6)}"
