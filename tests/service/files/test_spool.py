"""What is uploaded is opened and removed beside the event loop."""

import asyncio
import threading
from pathlib import Path

import pytest

from service.files.spool import Spool, Upload


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_an_upload_that_is_not_kept_is_removed_in_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_cancelled: bool
) -> None:
    closed_in: list[int] = []
    close = Upload.close

    def noting(upload: Upload) -> None:
        closed_in.append(threading.get_ident())
        close(upload)

    monkeypatch.setattr(Upload, "close", noting)

    async def scenario() -> None:
        spool, has_begun = Spool(tmp_path, 1 << 20), asyncio.Event()

        async def receive() -> None:
            async with spool.receiving("a") as upload:
                await asyncio.to_thread(upload.write, b"some")
                has_begun.set()
                await asyncio.Event().wait() if is_cancelled else None

        receiving = asyncio.create_task(receive())
        await has_begun.wait()
        if is_cancelled:
            receiving.cancel()
        await asyncio.wait([receiving])

    asyncio.run(scenario())
    assert len(closed_in) == 1
    assert closed_in != [threading.get_ident()]
    assert list(tmp_path.iterdir()) == []
