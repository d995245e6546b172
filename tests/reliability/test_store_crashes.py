"""kill -9 at random moments, under concurrent writes and deletes.

Acknowledged writes survive, deleted streamers stay deleted, no store process is left behind, and
the folder can be used again at once.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import psutil
import pytest
from redis.asyncio import Redis

from service.errors import FolderInUse, StoreUnavailable
from service.store.base import Delete, Written
from service.store.embedded.patience import Patience
from service.store.embedded.supervisor import EmbeddedStore
from service.store.redis.store import RedisStore
from tests.reliability.history import History
from tests.reliability.store_owner import WHOLE_LOG
from tests.service.store.records import until, upsert

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ROUNDS = 8
WRITERS = 6


# The store alone


async def write_until(stop: asyncio.Event, store: RedisStore, writer: int, told: History) -> None:
    """Upserts and deletes, whatever becomes of them."""
    choices = random.Random(writer)
    step = 0
    while not stop.is_set():
        step += 1
        streamer_id = f"w{writer}-{choices.randrange(5)}"
        state = None if choices.random() < 0.3 else f"{step}"
        told.sent(streamer_id, state)
        operation = Delete(streamer_id) if state is None else upsert(streamer_id, state)
        try:
            (outcome,) = await store.write([operation])
        except StoreUnavailable:
            await asyncio.sleep(0.005)
            continue
        if isinstance(outcome, Written):
            told.acknowledged(streamer_id, state, outcome.sequence)
        else:
            told.refused(streamer_id)


def processes_of(folder: Path) -> list[int]:
    """Stores on `folder`, and the children with which they rewrite their log."""
    named = psutil.process_iter(["cmdline"])
    return [p.pid for p in named if str(folder) in " ".join(p.info["cmdline"] or [])]


async def kill_store_repeatedly(folder: Path) -> None:
    told, stop, choices = History(), asyncio.Event(), random.Random(7)
    pids: set[int] = set()
    async with EmbeddedStore(folder, patience=Patience(longest_restart_s=0.1)) as embedded:
        store = await RedisStore(embedded.url, limits=WHOLE_LOG, trouble=embedded.trouble).open()
        admin: Any = Redis.from_url(embedded.url)
        epoch = (await store.position()).epoch
        writers = [asyncio.create_task(write_until(stop, store, w, told)) for w in range(WRITERS)]
        for kills in range(1, ROUNDS + 1):
            wanted = len(told.versions) + 5
            await until(lambda: len(told.versions) > wanted)  # noqa: B023
            await asyncio.sleep(choices.uniform(0.02, 0.25))
            if kills % 2 == 0:  # in the middle of a rewrite of the log
                await admin.bgrewriteaof()
                await asyncio.sleep(choices.uniform(0.0, 0.01))
            assert embedded.pid is not None
            pids.add(embedded.pid)
            os.kill(embedded.pid, signal.SIGKILL)
            await until(lambda: embedded.restarts == kills and embedded.state == "ready")  # noqa: B023
        stop.set()
        await asyncio.gather(*writers)
        assert len(told.versions) > 5 * ROUNDS
        assert (await store.position()).epoch == epoch
        await told.check(store)
        await store.close()
        await admin.aclose()
    assert len(pids) == ROUNDS
    await until(lambda: not processes_of(folder))


def test_a_store_that_is_killed_again_and_again(tmp_path: Path) -> None:
    asyncio.run(kill_store_repeatedly(tmp_path))


# The service, or both


class Owner:
    """A process that owns a store on `folder` and writes to it; gone on leaving."""

    def __init__(self, folder: Path) -> None:
        self._said = folder.with_name("said.jsonl")
        command = [sys.executable, "-m", "tests.reliability.store_owner", str(folder)]
        with self._said.open("w") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=output, start_new_session=True
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def start(self) -> dict[str, Any]:
        """What it said when its store was up; more than ten writes were acknowledged since."""
        deadline = time.monotonic() + 60
        while (said := self._said.read_text()).count('"acknowledged"') <= 10:
            assert time.monotonic() < deadline
            assert self.process.poll() is None
            time.sleep(0.01)
        return json.loads(said.splitlines()[0])

    def tell(self, told: History) -> None:
        """All that it said before it died."""
        self.process.wait(60)
        for line in self._said.read_text().splitlines(keepends=True):
            if not line.endswith("\n"):
                continue  # it died in the middle of the word
            match json.loads(line):
                case {"sent": i, "state": state}:
                    told.sent(i, state)
                case {"acknowledged": i, "state": state, "version": version}:
                    told.acknowledged(i, state, version)
                case {"refused": i}:
                    told.refused(i)
                case _:
                    pass


def wait_until_gone(pid: int, timeout_s: float = 40.0) -> None:
    deadline = time.monotonic() + timeout_s
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.01)


async def check_folder(folder: Path, told: History) -> None:
    """The folder is free, and has what was acknowledged."""
    async with EmbeddedStore(folder) as embedded:
        store = await RedisStore(embedded.url, limits=WHOLE_LOG).open()
        await told.check(store)
        await store.close()


def test_a_service_that_is_killed_with_its_store_again_and_again(tmp_path: Path) -> None:
    told, choices, last = History(), random.Random(11), 0
    for _ in range(ROUNDS // 2):
        with Owner(tmp_path / "store") as owner:
            start = owner.start()
            assert start["last"] >= last
            time.sleep(choices.uniform(0.05, 0.4))
            os.kill(start["store_pid"], signal.SIGKILL)
            owner.process.kill()
            owner.tell(told)
        last = max(told.versions, default=0)
        wait_until_gone(start["store_pid"])
    assert len(told.versions) > 5 * ROUNDS
    asyncio.run(check_folder(tmp_path / "store", told))


def test_a_store_that_outlives_its_service_still_owns_the_folder(tmp_path: Path) -> None:
    told, folder = History(), tmp_path / "store"
    with Owner(folder) as owner:
        store_pid = owner.start()["store_pid"]
        time.sleep(0.2)
        os.kill(store_pid, signal.SIGSTOP)  # it can't hear that its service died
        try:
            owner.process.kill()
            owner.tell(told)
            with pytest.raises(FolderInUse, match=rf"by store process {store_pid}: .*kill"):
                asyncio.run(EmbeddedStore(folder, patience=Patience(lock_s=0.3)).start())
        finally:
            os.kill(store_pid, signal.SIGCONT)
    wait_until_gone(store_pid)
    asyncio.run(check_folder(tmp_path / "store", told))


def test_ctrl_c_reaches_the_service_alone_which_stops_the_store_in_order(tmp_path: Path) -> None:
    told = History()
    with Owner(tmp_path / "store") as owner:
        store_pid = owner.start()["store_pid"]
        time.sleep(0.2)
        os.killpg(owner.process.pid, signal.SIGINT)  # as a terminal does
        owner.tell(told)
        assert owner.process.returncode == 0
        assert not psutil.pid_exists(store_pid)
    log = (tmp_path / "store" / "store.log").read_text()
    assert "Received SIGTERM" in log
    assert "SIGINT" not in log
    assert "ready to exit" in log
    asyncio.run(check_folder(tmp_path / "store", told))
