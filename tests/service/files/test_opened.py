"""A file that nobody waits for any more is closed."""

import asyncio
import threading
from pathlib import Path

import pytest

from service.features.transfers.exports import ResultFile
from service.files.spool import opened


@pytest.mark.parametrize("times", [1, 2])
def test_who_is_cancelled_while_a_file_is_opened_leaves_none_open(
    tmp_path: Path, times: int
) -> None:
    begun, may_end = threading.Event(), threading.Event()
    made: list[ResultFile] = []

    def make() -> ResultFile:
        made.append(ResultFile(tmp_path / "file"))
        begun.set()
        may_end.wait(60)
        return made[0]

    async def scenario() -> None:
        waiting = asyncio.create_task(opened(make))
        await asyncio.to_thread(begun.wait, 60)
        for _ in range(times):
            waiting.cancel()
            await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(may_end.set)
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(scenario())
    with pytest.raises(ValueError, match="closed file"):
        made[0].append(b"more")
