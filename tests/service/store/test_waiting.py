"""A store that starts may read its log for as long as it says so."""

import asyncio
import contextlib
import logging
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.store.embedded.patience import Patience
from service.store.embedded.waiting import until_it_answers

pytestmark = pytest.mark.anyio

LOADING = b"-LOADING Valkey is loading the dataset in memory"


class Clock:
    """Each answer of the store takes so many seconds of it."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@contextlib.asynccontextmanager
async def answering(
    folder: Path, answers: list[bytes], clock: Clock, each_s: float
) -> AsyncIterator[Path]:
    """A socket that gives one answer a connection, the last one for ever."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"PING\r\n"
        clock.now_s += each_s
        writer.write((answers.pop(0) if len(answers) > 1 else answers[0]) + b"\r\n")
        writer.close()

    async with await asyncio.start_unix_server(answer, folder / "socket"):
        yield folder / "socket"


@pytest.fixture
async def process() -> AsyncIterator[Process]:
    """Something that runs."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE
    )
    yield running
    if running.returncode is None:
        running.kill()
        await running.wait()


async def test_reading_a_log_is_no_silence(
    tmp_path: Path, process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock, patience = Clock(), Patience(start_s=120)
    answers = [LOADING, LOADING, LOADING, LOADING, b"+PONG"]
    async with answering(tmp_path, answers, clock, 100) as socket:
        assert await until_it_answers(socket, process, patience, clock)
    assert "the store has been reading its log for 400 s" in caplog.text


@pytest.mark.parametrize("before", [[], [LOADING, LOADING]])
async def test_a_store_that_says_nothing_of_use_is_silent(
    tmp_path: Path, process: Process, before: list[bytes]
) -> None:
    clock, patience = Clock(), Patience(start_s=120)
    begun = clock.now_s
    async with answering(tmp_path, [*before, b"-ERR"], clock, 50) as socket:
        with pytest.raises(TimeoutError):
            await until_it_answers(socket, process, patience, clock)
    assert clock.now_s - begun == 150 + 50 * len(before)


async def test_a_store_that_has_ended_is_waited_for_no_longer(
    tmp_path: Path, process: Process
) -> None:
    process.kill()
    await process.wait()
    assert not await until_it_answers(tmp_path / "nothing", process, Patience(), Clock())
