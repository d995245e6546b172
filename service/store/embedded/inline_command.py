"""One command to a store, without a client library."""

import asyncio
from pathlib import Path


async def ask(socket: Path | None, command: str, timeout_s: float) -> bytes:
    """The first line of the answer to an inline command.

    Raises:
        OSError: there is none (a TimeoutError is one too).
    """
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_unix_connection(socket)
        try:
            writer.write(f"{command}\r\n".encode())
            return (await reader.readline()).rstrip()
        finally:
            writer.close()
