"""Matches every write with all lists, from the store's log; one process at a time does it.

The place in the log is written in one step with the alerts that follow from it. Lists are read anew
before each part of the log: a list that was on disk before is matched with it, and one that came
later is swept after it came, so that either finds each streamer.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from service.engine.replica.trailing import TrailingLag
from service.engine.watchlists.matcher import ListSeeds
from service.errors import JobNotFound, ServiceError, Unavailable
from service.features.jobs.runner import persist
from service.features.watchlists.alerts.book import AlertBook
from service.features.watchlists.cursor import LogCursor, NotTheMatcher, read_matched
from service.features.watchlists.matching import Found, Matching
from service.features.watchlists.watched import WatchedLists, due_lists
from service.logs.repeats import Repeats
from service.store.base import LogGap, Position, StreamerStore
from service.store.documents import DocumentStore, Entry, RevisionConflict
from service.store.jobs import FINISHED, Job

_log = logging.getLogger(__name__)
_RETRY_S = 1.0
_BEAT_S = 1.0
_LOOK_S = 1.0
"""How often it is looked for lists that another process took."""
_TOGETHER_S = 0.2
"""Writes that come within so long are matched together, which takes a fraction of the work."""
_LOOKS_WHILE_DUE = 5
_PART = 256
"""Streamers that are matched between two steps of the cursor."""


class Sweeps:
    """Begins jobs that sweep, and knows what became of the last one."""

    def __init__(
        self, start: Callable[[], Awaitable[Job]], get: Callable[[str], Awaitable[Job]]
    ) -> None:
        """Begin by `start`; `get` finds a job by its id."""
        self._start = start
        self._get = get
        self._job_id: str | None = None

    async def ensure(self) -> None:
        """Have a sweep under way that this process began.

        Raises:
            ServiceError: it can't be begun at the moment.
        """
        if self._job_id is not None:
            with contextlib.suppress(JobNotFound):
                if (await self._get(self._job_id)).state not in FINISHED:
                    return
        self._job_id = (await self._start()).job_id


class AlertFollower:
    """Matches the log while this process has the cursor.

    Attributes:
        cursor: in the log.
        lists: as this process knows them.
        due: lists that no sweep has matched with all streamers yet; None = not known.
        sweeps: begins jobs; it has to be there before `start`.
    """

    def __init__(
        self,
        store: StreamerStore,
        documents: DocumentStore,
        cursor: LogCursor,
        lists: WatchedLists,
        matching: Matching,
        book: AlertBook,
        model_version: str,
    ) -> None:
        """Nothing is done before `start`.

        Args:
            store: whose log is followed.
            documents: of the lists.
            cursor: in the log.
            lists: that are matched.
            matching: matches streamers.
            book: of alerts.
            model_version: by which this process compares.
        """
        self._store = store
        self._documents = documents
        self._matching = matching
        self._book = book
        self._model_version = model_version
        self._changed = asyncio.Event()
        self._repeats = Repeats()
        self._task: asyncio.Task[None] | None = None
        self._place: Position | None = None
        self.cursor = cursor
        self.lists = lists
        self._lag = TrailingLag(store.position, self._matched_up_to)
        self.due: int | None = None
        self.sweeps: Sweeps | None = None

    @property
    def is_leading(self) -> bool:
        """Whether this process matches the log."""
        return self.cursor.matched is not None

    @property
    def place(self) -> Position | None:
        """Up to where the log is matched, while this process does it."""
        return self._place

    @property
    def lag_s(self) -> float | None:
        """Seconds since all that was written was matched, by anyone; see `TrailingLag`."""
        return self._lag.lag_s

    async def ready(self, list_ids: Sequence[str]) -> list[ListSeeds]:
        """Those of some lists that this process has in memory as they are now, if it matches.

        Raises:
            Unavailable: the store can't answer at the moment.
        """
        async with self.lists.lock:
            if not self.is_leading:
                return []
            await self.lists.refresh()
            return self.lists.matcher.known(list_ids)

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._lag.start()
        self._task = asyncio.create_task(self._run(), name="watchlists")

    async def stop(self) -> None:
        """End, and let another process go on."""
        await self._lag.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def wake(self) -> None:
        """A list was changed."""
        self._changed.set()

    async def _run(self) -> None:
        while True:
            try:
                is_ours = await self._store.model_version() == self._model_version
                if is_ours and await self.cursor.claim(await self._store.position()):
                    await self._lead()
            except NotTheMatcher:
                self.cursor.lose(was_taken=True)
                _log.info("watchlists are matched by another process")
            except Unavailable as error:
                if self._repeats.is_new("matched", error.detail):
                    _log.warning("watchlists can't be matched at the moment: %s", error.detail)
            except asyncio.CancelledError:
                with contextlib.suppress(Unavailable):
                    await self.cursor.release()
                raise
            except Exception as error:  # noqa: BLE001 - or they would silently stand still
                if self._repeats.is_new("matched", error):
                    _log.exception("watchlists can't be matched")
            self.cursor.lose()
            self.due = self._place = None
            await asyncio.sleep(_RETRY_S)

    async def _lead(self) -> None:
        """Match until something fails."""
        matched = self.cursor.matched
        assert matched is not None
        self._place = matched.position
        tasks = [
            asyncio.create_task(self._follow(), name="watchlists' log"),
            asyncio.create_task(self._beat(), name="watchlists' cursor"),
            asyncio.create_task(self._sweep(), name="watchlists' sweeps"),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            place = self._place
            assert place is not None
            try:
                feed = self._store.follow(place.sequence, place.epoch, place.mark)
                async with contextlib.aclosing(feed):
                    async for entries in feed:
                        began = time.monotonic()
                        for start in range(0, len(entries), _PART):
                            part = entries[start : start + _PART]
                            ids = dict.fromkeys(e.streamer_id for e in part if e.entry is not None)
                            last = part[-1]
                            place = Position(place.epoch, last.sequence, last.mark)
                            await self._match(list(ids), place)
                        await asyncio.sleep(began + _TOGETHER_S - time.monotonic())
            except LogGap as gap:
                _log.warning("all streamers are matched with watchlists anew: %s", gap)
                end = await self._store.position()  # before the sweep reads the first one
                await self.cursor.beat(end, new_era=True)
                self._place = end  # not before: `_beat` would write it without the era
                self.wake()

    async def _match(self, ids: Sequence[str], place: Position) -> None:
        """Match streamers, raise what follows, and go on to a place in the log."""

        async def match() -> list[Found]:
            async with self.lists.lock:
                await self.lists.refresh()
                return await self._matching.matches(ids, self.lists.matcher, keeps=True)

        found = await persist(match)
        if found:
            async with self.cursor.lock:
                step = self.cursor.step(place)
                try:
                    revision = await self._book.raise_alerts(found, step)
                except RevisionConflict as error:
                    raise NotTheMatcher from error
                self.cursor.moved(place, revision)
        self._place = place

    async def _beat(self) -> None:
        """Write where the log is matched up to, once a second.

        What raised no alert is told of by that alone.
        """
        while True:
            await asyncio.sleep(_BEAT_S)
            await self.cursor.beat(self._place)

    async def _matched_up_to(self) -> Position | None:
        if self._place is not None:
            return self._place
        _, matched = await read_matched(self._documents)
        return matched and matched.position

    async def _sweep(self) -> None:
        """Begin a sweep whenever lists are due.

        All lists are looked at where one was changed, at a gap in the log, and while some are due.
        Lists may have more room than the process before gave them, so some are due at the start.
        """
        await self._book.sweep_again()
        seen: tuple[Entry | None, str] | None = None
        looks = 0
        while True:
            self._changed.clear()
            looks += 1
            try:
                async with self.lists.lock:  # so that no write has to wait for new lists
                    await self.lists.refresh()
                matched = self.cursor.matched
                state = self.lists.last_change, "" if matched is None else matched.era
                if state != seen or (self.due and looks % _LOOKS_WHILE_DUE == 0):
                    _, due = await due_lists(self._documents)
                    self.due, seen = len(due), state
                    if due and self.sweeps is not None:
                        await self.sweeps.ensure()
            except ServiceError as error:
                seen = None
                if self._repeats.is_new("swept", error.detail):
                    _log.warning("watchlists can't be swept at the moment: %s", error.detail)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._changed.wait()
