"""The file of names stays equal to the store, whatever happens to the log or to the file."""

import asyncio
import json
import random
import sqlite3
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from service.engine.names import follower
from service.engine.names.file import Change, NamesFile, Progress
from service.engine.names.finder import Finder, Place
from service.engine.names.follower import Names, remove_unused
from service.engine.work.lanes import Lane, Lanes
from service.errors import NotYetVisible, Overloaded, StoreUnavailable
from service.settings import Work
from service.store.base import Delete, Position, Record, Upsert
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.client import Limits
from service.store.redis.store import RedisStore

LIMITS = Limits(log_entries=50, follow_block_s=0.1, connect_timeout_s=10.0)
WAIT_MS = 60_000


def upsert(streamer_id: str, name: str, **profile: object) -> Upsert:
    fields = {"streamer_id": streamer_id, "name": name, **profile}
    return Upsert(
        Record(
            streamer_id=streamer_id,
            version=0,
            embedding=b"",
            content=b"",
            facets=b"{}",
            profile=json.dumps(fields).encode(),
            digest="",
            model_version="m",
            status="insufficient_content",
            modalities=b"{}",
            id_embedding=b"",
            updated_at=0.0,
        )
    )


class Parts:
    """A store that keeps few log entries, and lanes; names are opened as often as wanted."""

    def __init__(self, folder: Path, embedded: EmbeddedStore, store: RedisStore) -> None:
        self.folder = folder / "names"
        self.embedded = embedded
        self.store = store
        self.lanes = Lanes(Work())

    @asynccontextmanager
    async def names(self) -> AsyncGenerator[Names, None]:
        async def ready() -> None:
            """At once."""

        names = Names(self.store, self.lanes, self.folder, ready, lambda: names.sequence)
        names.start()
        try:
            yield names
        finally:
            await names.stop()

    async def found(self, names: Names, text: str, sequence: int) -> list[str]:
        await names.wait_for(sequence, WAIT_MS)
        found = await Finder(names, self.lanes).find(text, Place(), 1000)
        assert found is not None
        assert found.incomplete_because is None
        return sorted(hit.streamer_id for hit in found.hits)


@asynccontextmanager
async def parts(folder: Path) -> AsyncGenerator[Parts, None]:
    async with EmbeddedStore(folder / "store") as embedded:
        store = await RedisStore(embedded.url, limits=LIMITS, trouble=embedded.trouble).open()
        made = Parts(folder, embedded, store)
        made.lanes.start()
        try:
            yield made
        finally:
            made.lanes.stop()
            await store.close()


async def write(store: RedisStore, operations: Sequence[Upsert | Delete]) -> int:
    await store.write(operations)
    return (await store.position()).sequence


def test_all_is_read_then_the_log_is_followed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with parts(tmp_path) as made:
            last = await write(made.store, [upsert(f"s{i:04}", f"luna {i}") for i in range(1200)])
            async with made.names() as names:
                assert len(await made.found(names, "luna", last)) == 1000
                changes = [upsert("s0000", "stella"), Delete("s0001"), upsert("new", "stella two")]
                last = await write(made.store, changes)
                assert await made.found(names, "stella", last) == ["new", "s0000"]
                assert await made.found(names, "luna 1", last) != []
                assert "s0001" not in await made.found(names, "luna 1", last)
                with pytest.raises(NotYetVisible, match="not yet"):
                    await names.wait_for(last + 1, 20)
            last = await write(made.store, [upsert("later", "stella three")])
            async with made.names() as again:  # goes on where it ended
                assert await made.found(again, "stella", last) == ["later", "new", "s0000"]

    asyncio.run(scenario())


def test_what_the_log_does_not_have_any_more_is_read_anew(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with parts(tmp_path) as made:
            last = await write(made.store, [upsert("old", "luna"), upsert("stays", "luna")])
            async with made.names() as names:
                assert await made.found(names, "luna", last) == ["old", "stays"]
            await write(made.store, [Delete("old")])
            for _ in range(40):
                last = await write(made.store, [upsert(f"t{i}", "terra") for i in range(10)])
            admin: Redis = Redis.from_url(made.embedded.url)
            await admin.xtrim("ss:log", maxlen=10, approximate=False)
            await admin.aclose()
            async with made.names() as again:
                assert len(await made.found(again, "terra", last)) == 10
                assert await made.found(again, "luna", last) == ["stays"]

    asyncio.run(scenario())


def test_another_store_is_another_history(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with parts(tmp_path) as made:
            last = await write(made.store, [upsert(f"s{i}", "luna") for i in range(9)])
            async with made.names() as names:
                assert len(await made.found(names, "luna", last)) == 9
            admin: Redis = Redis.from_url(made.embedded.url)
            await admin.flushall()
            await admin.aclose()
            last = await write(made.store, [upsert("only", "luna") for _ in range(20)])
            async with made.names() as again:
                assert await made.found(again, "luna", last) == ["only"]

    asyncio.run(scenario())


def test_processes_of_one_data_folder_have_files_of_their_own(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with parts(tmp_path) as made:
            last = await write(made.store, [upsert("one", "luna")])
            async with made.names() as first, made.names() as second:
                assert await made.found(first, "luna", last) == ["one"]
                assert await made.found(second, "luna", last) == ["one"]
                last = await write(made.store, [upsert("two", "luna")])
                assert await made.found(first, "luna", last) == ["one", "two"]
                assert await made.found(second, "luna", last) == ["one", "two"]
            assert len(list(made.folder.glob("*.sqlite"))) == 2
            async with made.names() as first:  # a start removes what nobody has open
                assert await made.found(first, "luna", last) == ["one", "two"]
                assert [path.name for path in made.folder.glob("*.sqlite")] == ["0.sqlite"]
                last = await write(made.store, [upsert("three", "luna")])
                assert await made.found(first, "luna", last) == ["one", "three", "two"]
            remove_unused(made.folder)
            assert list(made.folder.glob("*.sqlite*")) == []

    asyncio.run(scenario())


def left(folder: Path, piece: bytes) -> bool:
    return any(piece in path.read_bytes() for path in folder.iterdir())


def test_a_purge_removes_files_that_a_process_left(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with parts(tmp_path) as made:
            last = await write(made.store, [upsert("gone", "qxqxzz")])
            async with made.names() as first:
                assert await made.found(first, "qxqx", last) == ["gone"]
                async with made.names() as second:
                    assert await made.found(second, "qxqx", last) == ["gone"]
                    await first.purge()  # it is that of a process that runs
                    assert (made.folder / "1.sqlite").exists()
                await first.purge()
                assert not list(made.folder.glob("1.sqlite*"))

    asyncio.run(scenario())


def test_a_purge_leaves_nothing_and_outlasts_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with parts(tmp_path) as made:
            last = await write(made.store, [upsert("s", "luna"), upsert("gone", "qxqxzz")])
            async with made.names() as names:
                assert await made.found(names, "qxqx", last) == ["gone"]
                last = await write(made.store, [Delete("gone")])
                assert await made.found(names, "qxqx", last) == []
                await names.purge()
            # It may have been stopped before the purge was over: the next start goes on.
            async with made.names() as again, asyncio.timeout(60):
                assert await made.found(again, "luna", last) == ["s"]
                file = again.file
                assert file is not None
                while await asyncio.to_thread(file.is_purge_due):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                last = await write(made.store, [upsert("after", "luna")])
                assert await made.found(again, "luna", last) == ["after", "s"]
            assert not left(made.folder, b"qxqx")
            assert not left(made.folder, b"xqx")
            assert left(made.folder, b"luna")

    asyncio.run(scenario())


def test_a_purge_goes_on_once_the_store_and_the_threads_answer_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "_RETRY_S", 0.0)

    async def scenario() -> None:
        async with parts(tmp_path) as made, made.names() as names, asyncio.timeout(60):
            await write(made.store, [upsert("s", "luna"), upsert("gone", "qxqxzz")])
            last = await write(made.store, [Delete("gone")])
            assert await made.found(names, "qxqx", last) == []
            position, run, asked = made.store.position, made.lanes.run, list[str]()

            async def away() -> Position:
                asked.append("store")
                if asked.count("store") < 3:
                    raise StoreUnavailable("it does not answer")
                return await position()

            async def late(call: Callable[[], Any], lane: Lane) -> Any:
                found = await run(call, lane)
                asked.append("threads")
                if asked.count("threads") == 2:  # the first one notes that there is something to do
                    raise Overloaded("not done in time")
                return found

            monkeypatch.setattr(made.store, "position", away)
            monkeypatch.setattr(made.lanes, "run", late)
            await names.purge()
            file = names.file
            assert file is not None
            while await asyncio.to_thread(file.is_purge_due):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert asked.count("store") == 3

    asyncio.run(scenario())


@pytest.mark.slow
def test_any_history_ends_equal_to_the_store(tmp_path: Path) -> None:
    async def scenario() -> None:
        drawn, stored = random.Random(4), dict[str, str]()
        async with parts(tmp_path) as made:
            for _ in range(6):
                async with made.names() as names:
                    for _ in range(8):
                        operations: list[Upsert | Delete] = []
                        for name in {f"s{drawn.randrange(60)}" for _ in range(15)}:
                            if drawn.random() < 0.3:
                                operations.append(Delete(name))
                                stored.pop(name, None)
                            else:
                                stored[name] = drawn.choice(["luna", "stella", "terra"])
                                operations.append(upsert(name, stored[name]))
                        last = await write(made.store, operations)
                        if drawn.random() < 0.5:
                            continue  # while it still takes in the last ones
                        for text in ("luna", "stella", "terra"):
                            expected = sorted(s for s, name in stored.items() if name == text)
                            assert await made.found(names, text, last) == expected

    asyncio.run(scenario())


class Searching:
    """A thread that searches a file for as long as it is wanted."""

    def __init__(self, file: NamesFile) -> None:
        self._file = file
        self._is_over, self._is_begun = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._search)

    def _search(self) -> None:
        with self._file._used():  # as all that threads ask of a file
            self._is_begun.set()
            assert self._is_over.wait(60)

    async def begin(self) -> None:
        self._thread.start()
        assert await asyncio.to_thread(self._is_begun.wait, 60)

    def end(self) -> None:
        self._is_over.set()
        self._thread.join()


async def searched(made: Parts, names: Names) -> tuple[Searching, NamesFile]:
    """Begin a search of the file that is open, which finds "luna" by now."""
    last = await write(made.store, [upsert("s", "luna")])
    assert await made.found(names, "luna", last) == ["s"]
    assert names.file is not None
    searching = Searching(names.file)
    await searching.begin()
    return searching, names.file


async def until_waiting(file: NamesFile) -> None:
    """Return once somebody closes a file."""
    async with asyncio.timeout(60):
        while not file._is_closed:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.001)


def test_the_event_loop_goes_on_while_a_file_is_closed(tmp_path: Path) -> None:
    """Closing waits for whoever searches; that ends when the event loop says so, or never."""

    async def scenario() -> None:
        async with parts(tmp_path) as made, made.names() as names:
            searching, file = await searched(made, names)
            stopping = asyncio.create_task(names.stop())
            await until_waiting(file)
            assert not stopping.done()
            searching.end()
            await stopping

    asyncio.run(scenario())


def test_the_event_loop_goes_on_while_a_broken_file_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply, broken = NamesFile.apply, list[NamesFile]()

    def failing(
        file: NamesFile, changes: Sequence[Change], after: Progress
    ) -> Generator[None, None, None]:
        if file in broken:
            raise sqlite3.DatabaseError("database disk image is malformed")
        return apply(file, changes, after)

    monkeypatch.setattr(NamesFile, "apply", failing)

    async def scenario() -> None:
        async with parts(tmp_path) as made, made.names() as names:
            searching, file = await searched(made, names)
            broken.append(file)
            last = await write(made.store, [upsert("t", "luna")])
            await until_waiting(file)
            searching.end()
            assert await made.found(names, "luna", last) == ["s", "t"]
            assert names.file is not file

    asyncio.run(scenario())


@pytest.mark.parametrize("fails", [False, True])
def test_a_file_that_is_being_opened_when_it_ends_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    opened: list[NamesFile] = []
    is_opening, may_open = threading.Event(), threading.Event()

    def slow(path: Path) -> NamesFile:
        is_opening.set()
        assert may_open.wait(60)
        if fails:
            raise sqlite3.OperationalError("database or disk is full")
        opened.append(NamesFile(path))
        return opened[-1]

    async def scenario() -> None:
        async with parts(tmp_path) as made:
            monkeypatch.setattr(follower, "NamesFile", slow)
            async with made.names() as names:
                await asyncio.to_thread(is_opening.wait, 60)
                ends = asyncio.create_task(names.stop())
                await asyncio.sleep(0)  # it has cancelled what it waits for
                may_open.set()
                await asyncio.wait_for(ends, 60)
            for file in opened:
                with pytest.raises(sqlite3.ProgrammingError, match="is closed"):
                    file.progress()
            assert len(opened) == (not fails)
            monkeypatch.undo()
            async with made.names() as again:  # its lock is free
                await again.wait_for(0, WAIT_MS)
                assert sorted(path.name for path in made.folder.glob("*.lock")) == ["0.lock"]

    asyncio.run(scenario())
