"""Files as bodies of requests, a part at a time."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

_BLOCK = 1 << 20


def blocks(file: Path) -> Generator[bytes, None, None]:
    """The parts of a file."""
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK):
            yield block


async def async_blocks(file: Path) -> AsyncGenerator[bytes, None]:
    """The parts of a file, which threads read."""
    opened = await asyncio.to_thread(file.open, "rb")
    try:
        while block := await asyncio.to_thread(opened.read, _BLOCK):
            yield block
    finally:
        opened.close()
