"""Processes do work, end with their task, and may be lost."""

import asyncio
import os
import subprocess
import sys
from contextlib import suppress
from functools import partial
from multiprocessing import active_children

import psutil
import pytest

from service.engine.work.workers import Workers, WorkersLost
from tests.service.engine.work.done_elsewhere import dies, fails, remember, told
from tests.service.process import is_gone

pytestmark = pytest.mark.anyio
NICENESS = 10


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def ended(process_id: int) -> None:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(process_id)
        async with asyncio.timeout(60):
            while not is_gone(process):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)


async def test_work_is_done_elsewhere_with_what_was_prepared() -> None:
    workers = Workers(2, partial(remember, 7))
    found = await asyncio.gather(*(workers.run(told) for _ in range(8)))
    assert {known for known, _ in found} == {7}
    assert os.getpid() not in {process for _, process in found}
    with pytest.raises(ValueError, match="no"):
        await workers.run(fails)
    assert (await workers.run(told))[0] == 7
    workers.close()
    for process in {process for _, process in found}:
        await ended(process)


async def test_lost_workers_stay_lost() -> None:
    workers = Workers(2, partial(remember, 7))
    with pytest.raises(WorkersLost):
        await workers.run(dies)
    with pytest.raises(WorkersLost):
        await workers.run(told)


async def test_who_closes_them_while_they_start_leaves_none() -> None:
    workers = Workers(2, partial(remember, 7))
    before = {process.pid for process in active_children()}
    asked = asyncio.create_task(workers.run(told))
    await asyncio.sleep(0)
    workers.close()
    with pytest.raises(WorkersLost):
        await asked
    with pytest.raises(WorkersLost):
        await workers.run(told)
    async with asyncio.timeout(60):
        while {process.pid for process in active_children()} - before:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)


PROGRAM = """
import asyncio, os
from functools import partial
from service.engine.work.workers import Workers

async def main():
    workers = Workers(1, partial(os.getpid))
    print(await workers.run(os.getpid), flush=True)
    await asyncio.sleep(600)

if __name__ == "__main__":
    asyncio.run(main())
"""


async def test_they_have_a_low_priority_and_end_when_their_parent_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
    assert parent.stdout is not None
    worker = int(await asyncio.to_thread(parent.stdout.readline))
    assert psutil.Process(worker).nice() == min(psutil.Process(parent.pid).nice() + NICENESS, 19)
    parent.kill()
    await asyncio.to_thread(parent.wait)
    await ended(worker)
    parent.stdout.close()
