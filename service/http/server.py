"""The HTTP server: uvicorn with limits on connections, and an end in order."""

import asyncio
import contextlib
import math
import socket
from collections.abc import AsyncGenerator, Generator
from functools import partial
from typing import Any, cast

import uvicorn

from service.http.connections import ConnectionCounts, Connections, HttpConnection
from service.http.lifecycle import Lifecycle
from service.settings import Server

_GRACE_S = 5  # for requests under way; a container is killed 10 s after it was told to stop
_BODY_GRACE_S = 1  # of these, for bodies that still come
_TICKS = 10  # uvicorn's, in a second
_HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "frame-ancestors 'none'"),
]
"""Of every answer: it is what it says, and a page of another site shows none in a frame."""


class HttpServer(uvicorn.Server):
    """Serves one `Lifecycle`; leaves signals alone."""

    def __init__(
        self, lifecycle: Lifecycle, settings: Server, connection_limit: int, log_level: str
    ) -> None:
        """Bind nothing yet; see `listening`."""
        self._lifecycle = lifecycle
        self._connections = Connections(settings, connection_limit, lifecycle)
        super().__init__(
            uvicorn.Config(
                lifecycle,
                http=cast(Any, partial(HttpConnection, limits=self._connections)),
                ws="none",
                lifespan="off",
                proxy_headers=False,  # nothing depends on the client's address or scheme
                log_config=None,  # its records go where all others go
                log_level=log_level,
                access_log=False,  # it has query strings; `STREAMER_LOG__REQUESTS` is without
                # Accepted all at once, they must not take more descriptors than are left.
                backlog=min(2048, max(16, connection_limit // 2)),
                timeout_keep_alive=math.ceil(settings.idle_timeout_s),
                timeout_graceful_shutdown=_GRACE_S,
                server_header=False,
                headers=_HEADERS,
            )
        )
        counts = ConnectionCounts(self.server_state.connections, connection_limit)
        lifecycle.traffic.collectors.append(counts)
        self._serving: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def listening(self, listener: socket.socket) -> AsyncGenerator[None, None]:
        """Answer on a socket that listens; on leaving, end requests under way and close it."""
        self._serving = asyncio.create_task(self.serve(sockets=[listener]))
        try:
            yield
        finally:
            self.should_exit = True
            await self.wait_closed()

    def stop(self, drain_s: float) -> None:
        """Begin to end; for `drain_s` seconds requests are answered, but `/readyz` says 503."""
        self._lifecycle.is_draining = True
        if drain_s:
            asyncio.get_running_loop().call_later(drain_s, self.stop, 0)
        else:
            self.should_exit = True

    async def wait_closed(self) -> None:
        """Return when the port is closed and all requests were answered or given up."""
        if self._serving is not None:
            await self._serving

    async def on_tick(self, counter: int) -> bool:
        """Close connections that wait too long, once a second."""
        if counter % _TICKS == 0:
            open_connections = cast(set[HttpConnection], self.server_state.connections)
            now = asyncio.get_running_loop().time()
            self._connections.close_expired(open_connections, now)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port, then wait a while for requests under way."""
        self._lifecycle.is_draining = True
        self._lifecycle.end_bodies(_BODY_GRACE_S)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Do nothing: uvicorn's own handlers give up all work at the second signal."""
        yield
