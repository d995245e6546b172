"""Runs a command in a network namespace of its own, and relays one port of it.

Milvus listens on all interfaces, whatever it is told; in a namespace there is only loopback. What
the listening socket (of the world outside) accepts is relayed to a port inside.

    unshare --map-root-user --net python relay.py <descriptor> <port> <command> ...
"""

import asyncio
import contextlib
import socket
import subprocess
import sys


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _relay(descriptor: int, port: int, command: list[str]) -> int:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))

    server = await asyncio.start_server(accept, sock=socket.socket(fileno=descriptor))
    async with server:
        process = await asyncio.create_subprocess_exec(*command)
        return await process.wait()


if __name__ == "__main__":
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    sys.exit(asyncio.run(_relay(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])))
