"""Keeps the index equal to the store: a snapshot or one full scan, then the log, for ever.

The log is the only way into the index, also for this process's own writes; so every replica sees
the same history, and an index that lost its place notices.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Literal, TypeVar

from service.engine.replica.lag import Lag
from service.engine.replica.record_check import RecordCheck, SkippedRecords
from service.engine.replica.snapshots import Model, Snapshots
from service.engine.replica.visibility import not_yet_visible
from service.errors import NotReady, Unavailable
from service.index.base import Change, Remove, Upsert, VectorIndex
from service.store.base import INCOMPLETE, IndexEntry, LogEntry, LogGap, Position, StreamerStore
from service.store.trouble import Trouble
from service.telemetry.spans import spanned

_log = logging.getLogger(__name__)
_Entry = TypeVar("_Entry")
_RETRY_S = (0.05, 0.1, 0.2, 0.5, 1.0)
_LOOK_S = 0.5
"""How often it is looked where the log ends."""
_SHOW_MS = 100
"""The longest that the answer to a write waits for the index."""
_CATCH_UP_S = 1.0
"""How often an index that is prepared takes in the log."""
_ROWS_AT_ONCE = 50
"""How many entries are applied before other tasks get their turn."""


class Follower:
    """Owns the live index and the position up to which it is complete.

    Attributes:
        sequence: the last sequence number that the live index has applied.
        source: what the live index began with; None before there is one.
    """

    def __init__(
        self,
        store: StreamerStore,
        new_index: Callable[[], VectorIndex],
        model: Model,
        snapshots: Snapshots | None = None,
        max_lag_s: float = 10.0,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is read before `start`.

        Args:
            store: whose log is followed.
            new_index: makes an empty index.
            model: whose vectors the index holds; records of another one are skipped.
            snapshots: where an index may begin.
            max_lag_s: an index that lacks writes of so many seconds ago is behind.
            now_s: the clock.
        """
        self._store = store
        self._new_index = new_index
        self._snapshots = snapshots
        self._model = model
        self._other_model: str | None = None  # that the store holds by now
        self._check = RecordCheck(model)
        self._index: VectorIndex | None = None
        self._position = Position("", 0)  # from where on the log is followed; not of a lost index
        self._moved = asyncio.Condition()
        self._applying = asyncio.Lock()
        self._lag = Lag()
        self._max_lag_s = max_lag_s
        self._now_s = now_s
        self._tasks: list[asyncio.Task[None]] = []
        self._lost: str | None = None
        self.sequence = 0
        self._failure = Trouble(now_s)
        self.source: Literal["snapshot", "store"] | None = None

    def start(self) -> None:
        """Begin to follow, on the running event loop."""
        self._tasks = [
            asyncio.create_task(self._run(), name="follower"),
            asyncio.create_task(self._look(), name="follower's lag"),
        ]

    async def stop(self) -> None:
        """Stop following."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def index(self) -> VectorIndex:
        """The live index.

        Raises:
            NotReady: the first scan is still running.
        """
        if self._index is None:
            raise NotReady("the index is being built from the store")
        return self._index

    @property
    def complete(self) -> tuple[VectorIndex, Position] | None:
        """The live index and up to where it has everything; None while it is lost.

        Safe to ask from any thread: the place is taken first, so the index may have more.
        """
        place, index = self._position, self._index
        return (index, place) if index is not None and place.epoch else None

    @property
    def is_ready(self) -> bool:
        """Whether the first scan is complete."""
        return self._index is not None

    @property
    def behind_because(self) -> str | None:
        """Why the live index may lack writes that a newer one has; None when it lacks none."""
        return self.behind_for(0.0)

    @property
    def failure(self) -> str | None:
        """Why the log can't be followed at the moment; None when all is well."""
        return self._failure.lasting()

    def behind_for(self, longer_than_s: float) -> str | None:
        """Why it may lack writes; that the store is silent counts only if it lasts longer."""
        if self._other_model is not None:
            return (
                f"the store holds vectors of model {self._other_model}, this process serves "
                f"{self._model.version}: restart it with that model's bundle"
            )
        if self._lost is not None:
            return f"the index is being built anew, and this is the old one: {self._lost}"
        if failure := self._failure.lasting(longer_than_s):
            return f"the newest writes may be missing: {failure}"
        lag_s = self._lag.lag_s(self._position, self._now_s(), longer_than_s)
        if lag_s is not None and lag_s > self._max_lag_s:
            return (
                f"the newest writes may be missing: the index is {lag_s:.1f} s behind, at sequence "
                f"{self.sequence} of {self.head}"
            )
        return None

    @property
    def lag_s(self) -> float | None:
        """Seconds since the live index surely held all that was written; None before it did."""
        return self._lag.lag_s(self._position, self._now_s())

    @property
    def skipped(self) -> SkippedRecords:
        """Stored records that are not in the index, since it can't hold them; see `_changes`."""
        return self._check.skipped

    @property
    def head(self) -> int | None:
        """The last sequence number of the store that is known; None before a look."""
        return self._lag.head

    def has(self, sequence: int) -> bool:
        """Whether the index has applied this number of the store's present history."""
        return self._position.sequence >= sequence

    async def reaches(self, sequence: int, timeout_ms: int) -> bool:
        """Whether the index has applied `sequence`, or does within the time."""
        if not self.has(sequence):
            with contextlib.suppress(TimeoutError), spanned("wait_for_index"):
                async with asyncio.timeout(timeout_ms / 1000), self._moved:
                    await self._moved.wait_for(lambda: self.has(sequence))
        return self.has(sequence)

    async def wait_for(self, sequence: int, timeout_ms: int) -> None:
        """Return once the index has applied `sequence`.

        Raises:
            NotYetVisible: it did not within the time.
        """
        if not await self.reaches(sequence, timeout_ms):
            raise await not_yet_visible(self._store, self._position.sequence, sequence)

    async def show(self, sequence: int) -> None:
        """Let the index take in an acknowledged write before its answer goes out.

        So that the next question to this process sees it. It takes the log about a millisecond; an
        index that is behind keeps nobody waiting, the write is on disk already.
        """
        self._lag.wrote(sequence)
        if self.is_ready and self.behind_because is None:
            await self.reaches(sequence, _SHOW_MS)

    async def rebuild(
        self,
        tell: Callable[[int], Awaitable[None]],
        prepare: Callable[[VectorIndex], Awaitable[None]],
    ) -> None:
        """Build the index anew from the store, beside the live one, and put it in its place.

        The old one answers until then, and takes in what is written; so does the new one from then
        on. Cancelled before that, nothing has changed. Waits for the first scan of the process.

        Args:
            tell: called with the number of records that were read, now and then.
            prepare: makes the new index as fast as it is to be before it answers.

        Raises:
            Unavailable: the store does not answer, or its history became another one meanwhile.
        """
        async with self._moved:
            await self._moved.wait_for(lambda: self._index is not None)
        place = await self._store.position()
        index, check, done = self._new_index(), RecordCheck(self._model), 0
        try:
            async for entries in self._store.scan():
                for part in _parts(entries):
                    await index.apply([_upsert(e) for e in part if check.accepts(e)])
                done += len(entries)
                await tell(done)
            preparing = asyncio.ensure_future(prepare(index))
            try:
                while not preparing.done():  # the log does not keep everything that comes meanwhile
                    place = await self._replay(index, check, place, self._position.sequence)
                    await asyncio.wait({preparing}, timeout=_CATCH_UP_S)
                await preparing
            finally:
                preparing.cancel()
            place = await self._replay(index, check, place, self._position.sequence)
            async with self._applying:
                # The live index may be lost and scanned anew meanwhile, which moves its place.
                while (
                    self._position.epoch == place.epoch and self._position.sequence > place.sequence
                ):
                    place = await self._replay(index, check, place, self._position.sequence)
                if self._position.epoch != place.epoch:
                    raise LogGap("the store's history is another one by now")
                self._index, self._check = index, check
        except LogGap as gap:
            raise Unavailable(f"the index can't be rebuilt at the moment: {gap}") from gap

    async def _run(self) -> None:
        attempt = 0
        while True:
            try:
                await self._synchronise()
                self._failure.note(None)
                attempt = 0
                await self._follow()
            except LogGap as gap:
                self._lose(f"the log does not go on where it ended ({gap})")
            except Unavailable as error:
                if self.failure is None:
                    _log.warning("the store can't be followed: %s", error)
                self._failure.note(error.detail)
                await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
                attempt += 1
            except Exception as error:  # noqa: BLE001 - or the index would silently stand still
                if self.failure is None:
                    _log.exception("the index can't take in the log")
                failure = f"the index can't take in the log: {error!r}"
                self._failure.note(failure)
                self._lose(failure)
                await asyncio.sleep(_RETRY_S[-1])

    async def _look(self) -> None:
        """Look where the log ends, on another connection than the one that follows it."""
        while True:
            try:
                await self._look_once()
            except Exception as error:  # noqa: BLE001 - whatever it is, the lag grows
                _log.debug("the end of the log can't be seen: %s", error)
            await asyncio.sleep(_LOOK_S)

    async def _look_once(self) -> Position:
        began = self._now_s()
        self._lag.asks(began)
        head = await self._store.position()
        self._lag.saw(began, head)
        stored, target = await self._store.kept_models()
        mine = (None, self._model.version, INCOMPLETE + self._model.version)
        is_kept = stored in mine or target == self._model.version
        self._other_model = None if is_kept else stored
        return head

    async def _synchronise(self) -> None:
        """Build the index anew unless it continues the store's present history."""
        head = await self._look_once()
        mine = self._position
        if self._index is not None and head.epoch == mine.epoch and head.sequence >= mine.sequence:
            return
        if mine.epoch:
            self._lose("the store's history is another one than before")
        began = await self._resumed(head) if self._index is None else None
        self.source = "store" if began is None else "snapshot"
        self._index, place = began or (await self._scanned(), head)
        self._lost = None
        await self._move_to(place)

    async def _resumed(self, head: Position) -> tuple[VectorIndex, Position] | None:
        """An index from a snapshot, and from the log all that came after it up to `head`."""
        if self._snapshots is None:
            return None
        found = await asyncio.to_thread(self._snapshots.restore, self._new_index, head)
        if found is None:
            return None
        index, place = found
        try:
            end = await self._replay(index, self._check, place, head.sequence)
        except LogGap as gap:
            self._snapshots.discard(f"the log does not go on where it ends ({gap})")
            return None
        if self._check.skipped.count:  # written while this model's vectors were not kept
            self._snapshots.discard("the log after it lacks this model's vectors")
            return None
        _log.info("the index is the snapshot of %d, the log up to %d", place.sequence, end.sequence)
        return index, end

    async def _replay(
        self, index: VectorIndex, check: RecordCheck, place: Position, until: int
    ) -> Position:
        """Apply the log from a place on until `until` is reached; where it then is.

        Raises:
            LogGap: it does not go on there.
        """
        if place.sequence >= until:
            return place
        feed = self._store.follow(place.sequence, place.epoch, place.mark)
        async with contextlib.aclosing(feed):
            async for entries in feed:
                for part in _parts(entries):
                    await index.apply(_changes(part, check))
                place = Position(place.epoch, entries[-1].sequence, entries[-1].mark)
                if place.sequence >= until:
                    break
        return place

    async def _scanned(self) -> VectorIndex:
        """An index of all that is stored."""
        index = self._new_index()
        self._check.clear()
        async for entries in self._store.scan():
            for part in _parts(entries):
                await index.apply([_upsert(e) for e in part if self._check.accepts(e)])
        return index

    def _lose(self, why: str) -> None:
        """The live index can't follow the log any more; it answers until there is a new one."""
        self._position = Position("", 0)
        if self._index is not None:
            self._lost = why
            _log.warning("rebuilding the index: %s", why)

    async def _follow(self) -> None:
        start = self._position
        feed = self._store.follow(start.sequence, start.epoch, start.mark)
        async with contextlib.aclosing(feed):
            async for entries in feed:
                for part in _parts(entries):
                    async with self._applying:  # which index is live does not change meanwhile
                        await self.index.apply(_changes(part, self._check))
                        await self._move_to(Position(start.epoch, part[-1].sequence, part[-1].mark))

    async def _move_to(self, position: Position) -> None:
        async with self._moved:
            self._position = position
            self.sequence = position.sequence
            self._lag.wrote(position.sequence)
            self._moved.notify_all()


def _changes(entries: Sequence[LogEntry], check: RecordCheck) -> list[Change]:
    """Changes that entries of the log make; of a record that the index can't hold, none stays.

    But for a record of another model: until this process is started with that one, it answers by
    what it had of its own.
    """
    changes: list[Change] = []
    for entry in entries:
        if entry.entry is None:
            changes.append(Remove(entry.streamer_id, entry.sequence))
            check.forget(entry.streamer_id)
        elif check.accepts(entry.entry):
            changes.append(_upsert(entry.entry))
        elif check.is_of_model(entry.entry):  # nor would an index have it that scanned the store
            changes.append(Remove(entry.streamer_id, entry.sequence))
    return changes


def _parts(entries: Sequence[_Entry]) -> Iterator[Sequence[_Entry]]:
    return (entries[i : i + _ROWS_AT_ONCE] for i in range(0, len(entries), _ROWS_AT_ONCE))


def _upsert(e: IndexEntry) -> Upsert:
    return Upsert(e.streamer_id, e.version, e.embedding, e.content, e.facets)
