"""Keeps what a replica serves equal to what the store says; no answer waits for the store."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from service.engine.replica.presence import Presence
from service.engine.spaces.active import ActiveSpaces, ServedGeneration
from service.engine.spaces.array_file import ArrayFile
from service.engine.spaces.chunk_codec import DamagedChunk
from service.engine.spaces.generation import FitGeneration
from service.engine.work.background import Background
from service.engine.work.lanes import Lanes
from service.errors import ServiceError
from service.features.spaces.storing import ChangedMeanwhile, load
from service.store.spaces import ErasedRow, GenerationRecord, SpaceRecord, SpaceStore

_log = logging.getLogger(__name__)
POLL_S = 0.4
"""Between two looks for changes: a promotion reaches every replica within a second."""
_NOTE_S = 1.0
_TO_SWITCH_S = 10.0
_CLOCKS_DIFFER_S = 3600.0
"""Clocks of replicas, at most: what was to be promoted longer ago is not loaded at a start."""
SEEN_S = 5.0
"""A replica that has not told for so long what it has in memory is not waited for."""
_AGAIN_S = 5.0
"""After a generation could not be loaded."""
_NO_ROOM_S = 600.0
"""After there was no room for a file of one that was served before."""


def prepared_for_s(promote_timeout_s: float) -> float:
    """How long a generation that is about to be promoted is held.

    The replica that promotes it may take all of the time, and then the others; the pointer is
    moved after.
    """
    return 2 * promote_timeout_s + _TO_SWITCH_S


class SpaceFollower:
    """Loads what is served and what is about to be, and switches when the store says so.

    Attributes:
        replica: names this process among those that share the store.
        problems: why a generation could not be loaded, by `chunks_id`.
        unread: spaces whose record can't be read; what was served of them before stays served.
        trouble: why changes can't be followed, beside a store that is silent; None while they can.
    """

    def __init__(
        self,
        store: SpaceStore,
        active: ActiveSpaces,
        fit: FitGeneration,
        lanes: Lanes,
        folder: Path,
        promote_timeout_s: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Serve nothing before `refresh`.

        Args:
            store: of the spaces.
            active: what is served.
            fit: makes of a generation what answers need; before it serves.
            lanes: where work is done.
            folder: for arrays of generations that were served before, see `ArrayFile`.
            promote_timeout_s: as of `Preparation`.
            now: the time, in seconds since 1970.
        """
        self.replica = secrets.token_hex(8)
        self.problems: dict[str, str] = {}
        self.unread: frozenset[str] = frozenset()
        self.trouble: str | None = None
        self._store = store
        self._active = active
        self._fit = fit
        self._lanes = lanes
        self._folder = folder
        self._prepared_for_s = prepared_for_s(promote_timeout_s)
        self._now = now
        self._mark: str | None = None
        self._records: Mapping[str, SpaceRecord] = {}
        self._held: dict[str, ServedGeneration] = {}  # by chunks_id, like the others here
        self._left: dict[str, ServedGeneration] = {}  # what serves until it is read anew
        self._erased: dict[str, int] = {}  # how many were erased from it, as is known here
        self._in_file: set[str] = set()  # whose arrays are not in memory
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._writing: dict[str, asyncio.Task[None]] = {}
        self._no_room_until = 0.0
        self._again_at: dict[str, float] = {}
        self._given_up: set[str] = set()  # what will not load as it is
        self._changed: dict[str, GenerationRecord] = {}  # as it was when rows of it were missing
        self._has_looked = False
        self._prepared: dict[str, tuple[tuple[str, float], float]] = {}  # by space
        self._refreshing = asyncio.Lock()
        self._background = Background("spaces")
        self._presence = Presence(store, self.replica)

    @property
    def records(self) -> Mapping[str, SpaceRecord]:
        """What the store says, by space, as of the last look."""
        return self._records

    def holds(self, chunks_id: str) -> ServedGeneration | None:
        """A generation that is in memory and may serve at once."""
        return self._held.get(chunks_id)

    async def refresh(self) -> None:
        """Look for changes, and do what they ask for.

        Raises:
            StoreUnavailable: the store does not answer; what is served stays served.
        """
        async with self._refreshing:  # none may undo what a later one read
            mark = await self._store.mark()
            if mark != self._mark:
                records, unread = dict[str, SpaceRecord](), set[str]()
                for space, text in (await self._store.all()).items():
                    try:
                        records[space] = SpaceRecord.of_json(text)
                    except ValueError as error:
                        if space not in self.unread:
                            _log.warning("the space %r can't be read: %s", space, error)
                        unread.add(space)
                        if space in self._records:
                            records[space] = self._records[space]
                self._records, self._mark, self.unread = records, mark, frozenset(unread)
            await self._follow_erasures()
            self._settle()
            self._has_looked = True

    async def start(self) -> None:
        """Read what there is, and follow the store; loading goes on in the background.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        await self.refresh()
        self._background.start(self._run())

    async def stop(self) -> None:
        """Follow no more; no promotion waits for this replica then."""
        await self._presence.leave()
        await self._background.stop()
        tasks = [*self._loading.values(), *self._writing.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def note(self) -> None:
        """Tell the store what is in memory.

        Raises:
            StoreUnavailable: it does not answer.
        """
        await self._presence.tell(self._told)

    def _told(self) -> Mapping[str, Sequence[str]]:
        held: dict[str, list[str]] = {}
        for chunks_id, served in self._held.items():
            held.setdefault(served.generation.space, []).append(chunks_id)
        return held

    async def _run(self) -> None:
        noted = 0.0
        while True:
            try:
                await self.refresh()
                if time.monotonic() - noted >= _NOTE_S:
                    await self.note()
                    noted = time.monotonic()
                self.trouble = None
            except ServiceError:
                pass  # the store's health tells it; what is served stays served
            except Exception as error:  # noqa: BLE001 - soon it is asked again
                why = f"{type(error).__name__}: {error}"
                if why != self.trouble:
                    _log.warning("spaces can't be followed, what is served stays: %s", why)
                self.trouble = why
            await asyncio.sleep(POLL_S)

    def _wanted(self) -> dict[str, tuple[str, GenerationRecord]]:
        """What shall be in memory, with its space, by `chunks_id`."""
        found: dict[str, tuple[str, GenerationRecord]] = {}
        for space, record in self._records.items():
            for wanted in (record.active, self._about_to_serve(record)):
                if wanted is not None:
                    found[wanted.chunks_id] = space, wanted
        return found

    def _about_to_serve(self, record: SpaceRecord) -> GenerationRecord | None:
        """What is being promoted; it is held for a time from when it is first seen here.

        The clock of the replica that promotes it may be another one.
        """
        found = None if record.preparing is None else record.get(record.preparing)
        if found is None:
            self._prepared.pop(record.space, None)
            return None
        named, known = (found.chunks_id, record.preparing_until), self._prepared.get(record.space)
        if known is None or known[0] != named:
            # What was there at the start may be what memory had no room for.
            differ_s = _CLOCKS_DIFFER_S if self._has_looked else 0.0
            is_over = self._now() >= record.preparing_until + differ_s
            until = time.monotonic() + (0.0 if is_over else self._prepared_for_s)
            known = self._prepared[record.space] = named, until
        return found if time.monotonic() < known[1] else None

    def _before(self) -> dict[str, tuple[str, GenerationRecord]]:
        """What `:rollback` would serve, whose arrays are kept in a file, by `chunks_id`."""
        found: dict[str, tuple[str, GenerationRecord]] = {}
        for space, record in self._records.items():
            if record.previous is not None:
                found[record.previous.chunks_id] = space, record.previous
        return found

    def _settle(self) -> None:
        """Drop what is not wanted, begin to load what is missing, serve what is active."""
        wanted = self._wanted()
        before: dict[str, tuple[str, GenerationRecord]] = {}
        if time.monotonic() >= self._no_room_until:
            before = {i: found for i, found in self._before().items() if i not in wanted}
        kept = wanted.keys() | before.keys()
        about = (self._erased, self.problems, self._again_at, self._changed)
        for known in (self._held, self._left, *about):
            for chunks_id in known.keys() - kept:
                del known[chunks_id]
        self._in_file &= self._held.keys()
        self._given_up &= kept
        for tasks in (self._loading, self._writing):
            for chunks_id in tasks.keys() - kept:
                tasks[chunks_id].cancel()
        self._load_missing(wanted)
        if wanted.keys() <= self._held.keys():
            self._load_missing(before)
        for chunks_id in before.keys() & self._held.keys() - self._in_file - self._writing.keys():
            task = asyncio.create_task(self._write(chunks_id), name="keep a generation in a file")
            self._writing[chunks_id] = task
        self._serve()

    def _load_missing(self, wanted: Mapping[str, tuple[str, GenerationRecord]]) -> None:
        for chunks_id, (space, record) in wanted.items():
            is_due = time.monotonic() >= self._again_at.get(chunks_id, 0.0)
            if chunks_id not in self._held and chunks_id not in self._loading and is_due:
                task = asyncio.create_task(self._load(space, record), name=f"load {space}")
                self._loading[chunks_id] = task

    async def _write(self, chunks_id: str) -> None:
        """Move the arrays of a generation from memory to a file; until it is served again."""
        try:
            held = self._held.get(chunks_id)
            if held is None:
                return
            made = await asyncio.to_thread(_in_a_file, held, self._folder)
            if (now := self._held.get(chunks_id)) is not None and now.fitted is held.fitted:
                self._held[chunks_id] = replace(now, generation=made.generation, fitted=made.fitted)
                self._in_file.add(chunks_id)
        except OSError as error:
            _log.warning("no room for a generation, which a roll-back will load: %s", error)
            self._no_room_until = time.monotonic() + _NO_ROOM_S
        finally:
            del self._writing[chunks_id]
        self._settle()

    def _serve(self) -> None:
        shall = {space: one for space, r in self._records.items() if (one := r.active) is not None}
        given_up = [space for space, one in shall.items() if one.chunks_id in self._given_up]
        self._active.expect(shall, given_up)
        for space in {*self._records, *self._active.names()}:
            record = self._records.get(space)
            active = None if record is None else record.active
            if active is None:
                self._active.withdraw(space)
            elif (held := self._held.get(active.chunks_id)) is not None:
                served = self._active.get(space)
                if served is None or served.generation is not held.generation:
                    self._active.switch(held)
        for chunks_id in self._left.keys() & self._held.keys():
            del self._left[chunks_id]

    async def _load(self, space: str, record: GenerationRecord) -> None:
        chunks_id = record.chunks_id
        try:
            loaded = await self._loaded(space, record)
            self._erased[chunks_id] = record.erased
            self._held[chunks_id] = loaded
            self.problems.pop(chunks_id, None)
            self._changed.pop(chunks_id, None)
            self._given_up.discard(chunks_id)
            del self._loading[chunks_id]
            await self._follow_erasures()
            self._settle()
            await self.note()
        except ChangedMeanwhile as error:
            if self._changed.get(chunks_id) == record:  # nothing changed since the last time
                self._given_up.add(chunks_id)
            self._changed[chunks_id] = record
            self._failed(space, record, str(error), POLL_S)
        except ServiceError as error:
            self._failed(space, record, str(error))
        except DamagedChunk as error:
            self._given_up.add(chunks_id)
            self._failed(space, record, str(error))
        except Exception as error:  # noqa: BLE001 - one that can't be fitted is not served
            _log.warning("generation %r of %r", record.generation, space, exc_info=error)
            self._given_up.add(chunks_id)
            self._failed(space, record, f"{type(error).__name__}: {error}")
        finally:  # it may be read anew already
            if self._loading.get(chunks_id) is asyncio.current_task():
                del self._loading[chunks_id]

    async def _loaded(self, space: str, record: GenerationRecord) -> ServedGeneration:
        generation, neighbours = await load(self._store, space, record, self._lanes)
        return ServedGeneration(generation, await self._fit(generation, neighbours))

    def _failed(
        self, space: str, record: GenerationRecord, why: str, pause_s: float = _AGAIN_S
    ) -> None:
        if record.chunks_id in self._held:
            return  # only telling of it failed
        self._mark = None  # it may have been changed or deleted since
        self.problems[record.chunks_id] = why
        self._again_at[record.chunks_id] = time.monotonic() + pause_s
        _log.warning(
            "generation %r of the space %r can't be loaded: %s", record.generation, space, why
        )

    async def _follow_erasures(self) -> None:
        """Show no more who was erased; a generation of which too much was missed is read anew."""
        for space, record in self._records.items():
            for one in record.generations:
                # Of a record that can't be read, the notes alone tell who was erased since.
                is_told = space not in self.unread
                known = self._erased.get(one.chunks_id, one.erased)
                if not self._shown(one.chunks_id) or (is_told and known >= one.erased):
                    continue
                notes = await self._store.erased(one.chunks_id)
                if self._shown(one.chunks_id):  # else it went meanwhile
                    known = self._erased.get(one.chunks_id, one.erased)
                    last = one.erased if is_told else max(notes, default=known)
                    missed = [notes.get(number) for number in range(known + 1, last + 1)]
                    if missed:
                        self._erased[one.chunks_id] = last
                        self._hide(one.chunks_id, missed)

    def _shown(self, chunks_id: str) -> bool:
        """Whether a generation may be served at once, or is served until it is read anew."""
        return chunks_id in self._held or chunks_id in self._left

    def _hide(self, chunks_id: str, erased: Sequence[ErasedRow | None]) -> None:
        """Show no more who was erased; None are those of whom no note is there any more."""
        for known in (self._held, self._left):
            if (shown := known.get(chunks_id)) is None:
                continue
            known[chunks_id] = changed = shown.without(
                users=[row.row_id for row in erased if row is not None and row.kind == "user"],
                streamers=[
                    row.row_id for row in erased if row is not None and row.kind == "streamer"
                ],
            )
            served = self._active.get(shown.generation.space)
            is_served = served is not None and served.generation is shown.generation
            if is_served:
                self._active.switch(changed)
            if known is self._held and None in erased:
                del known[chunks_id]
                if is_served:
                    self._left[chunks_id] = changed
                    break


def _in_a_file(held: ServedGeneration, folder: Path) -> ServedGeneration:
    with ArrayFile(folder) as file:
        return held.kept(file.keep)
