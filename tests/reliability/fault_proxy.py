"""A proxy on the loopback before a store or a service, which fails as networks do."""

import asyncio
import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

_T = TypeVar("_T")
_PART = 65_536
STORE_WRITES = rb"(?s)EVALSHA.{1,120}:ids\r\n.{1,120}:log\r\n"
"""The script that writes streamers, by its first keys; others run every second or so."""
HTTP_WRITES = rb"(?:PUT|PATCH|DELETE) /v1/|POST /v1/streamers:bulk"


class FaultProxy:
    """Passes everything on, until it is told otherwise; it has a thread of its own.

    Attributes:
        port: that it listens on.
        url: of a store, for a service.
        delay_s: how long every reply is held back.
        bytes_per_s: how fast replies go through, each connection by itself; None = at once.
        commits_cut: writes that were carried out when their reply was thrown away.
    """

    def __init__(self, port: int, writes: bytes = STORE_WRITES) -> None:
        """To the server that listens on a port of the loopback; `writes` finds requests to it."""
        self._port = port
        self._writes = re.compile(writes)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy")
        self._passing = asyncio.Event()
        self._passing.set()
        self._pairs: set[asyncio.StreamWriter] = set()
        self._all_ended = asyncio.Event()
        self._all_ended.set()
        self._halved_replies = 0
        self._lost_replies = 0
        self._late_replies = 0
        self._resets = 0
        self._late_s = 0.0
        self.delay_s = 0.0
        self.bytes_per_s: float | None = None
        self.commits_cut = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """End all connections now; new ones may be made."""
        self._call(self._cut)

    def cut_in_mid_reply(self, times: int = 1) -> None:
        """Of the next replies to writes, pass on a half and end the connection."""
        self._call(lambda: setattr(self, "_halved_replies", times))

    def cut_after_commit(self, times: int = 1) -> None:
        """Throw away the next replies to writes and end their connections."""
        self._call(lambda: setattr(self, "_lost_replies", times))

    def reset_before_commit(self, times: int = 1) -> None:
        """Reset the connections of the next writes (RST), which do not get through."""
        self._call(lambda: setattr(self, "_resets", times))

    def answer_late(self, by_s: float, times: int = 1) -> None:
        """Hold back the next replies to writes by so many seconds."""
        self._late_s = by_s
        self._call(lambda: setattr(self, "_late_replies", times))

    def swallow(self) -> None:
        """Nothing goes through any more, and nobody is told.

        As the buffers of a network do, it holds what was sent, also for senders that gave up.
        """
        self._call(self._passing.clear)

    def pass_on(self) -> None:
        """Deliver what was held, and all that comes."""
        self._call(self._passing.set)

    def _call(self, function: Callable[[], object]) -> None:
        async def run() -> None:
            function()

        self._do(run())

    def _do(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def _cut(self) -> None:
        for writer in self._pairs:
            writer.transport.abort()

    async def _stop(self) -> None:
        self._server.close()
        self.delay_s, self.bytes_per_s = 0.0, None
        self._passing.set()
        self._cut()
        await asyncio.wait_for(self._all_ended.wait(), 30)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            store_reader, store_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection(reader, writer, store_reader, store_writer)
        self._pairs |= {writer, store_writer}
        self._all_ended.clear()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._requests(connection))
                tasks.create_task(self._replies(connection))
        except* (OSError, _Ended):
            pass
        finally:
            self._pairs -= {writer, store_writer}
            for each in (writer, store_writer):
                each.transport.abort()
            if not self._pairs:
                self._all_ended.set()

    async def _requests(self, connection: "_Connection") -> None:
        """All that was sent is delivered, also when its sender is gone meanwhile."""
        while data := await connection.reader.read(_PART):
            await self._passing.wait()
            if self._writes.search(data):
                if self._resets:
                    self._resets -= 1
                    _reset(connection.writer)
                    raise _Ended
                connection.commits += 1
            connection.store_writer.write(data)
            await connection.store_writer.drain()
        connection.store_writer.write_eof()

    async def _replies(self, connection: "_Connection") -> None:
        while data := await connection.store_reader.read(_PART):
            await asyncio.sleep(self.delay_s)
            if connection.commits:
                connection.commits -= 1
                self._fail(connection, data)
                if self._late_replies:
                    self._late_replies -= 1
                    await asyncio.sleep(self._late_s)
            await self._passing.wait()
            with contextlib.suppress(ConnectionError):  # nobody may be there to read it
                await self._send(connection.writer, data)
        raise _Ended

    def _fail(self, connection: "_Connection", data: bytes) -> None:
        """End the connection, if this reply to a write is one that is to fail."""
        if self._lost_replies:
            self._lost_replies -= 1
        elif self._halved_replies:
            self._halved_replies -= 1
            connection.writer.write(data[: len(data) // 2])
        else:
            return
        self.commits_cut += 1
        connection.writer.close()
        raise _Ended

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        step = 1024
        for start in range(0, len(data), step):
            if self.bytes_per_s is None:
                writer.write(data[start:])
                break
            writer.write(data[start : start + step])
            await asyncio.sleep(step / self.bytes_per_s)
        await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by RST."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


class _Ended(Exception):
    """One side is gone, and so is the connection."""


class _Connection:
    """The two halves of a connection, and how many writes on it have no reply yet."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        store_reader: asyncio.StreamReader,
        store_writer: asyncio.StreamWriter,
    ) -> None:
        self.reader, self.writer = reader, writer
        self.store_reader, self.store_writer = store_reader, store_writer
        self.commits = 0
