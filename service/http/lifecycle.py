"""The service's application from the first moment to the last: starting, serving, stopping."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import NotReady
from service.http.admission import Limiter
from service.http.documents import send_problem
from service.http.headers.request_ids import answer_as, ids_of
from service.http.traffic import Traffic
from service.telemetry.spans import Tracer

STOPPING = "the service is stopping; send the rest again, to another replica or after its restart"


class Lifecycle:
    """ASGI application in front of the service's: answers probes while that is not there yet.

    Attributes:
        is_draining: the service still answers, and wants no more requests.
        bodies_end: when a body that still comes is given up, by the event loop's clock.
        waits: for parts of bodies, under way at the moment.
        limiter: decides which requests are let in.
        traffic: counts requests.
        tracer: begins traces; None: there are none.
    """

    def __init__(self, tracer: Tracer | None = None) -> None:
        """Begin to start."""
        self.tracer = tracer
        self._app: ASGIApp | None = None
        self._state: Mapping[str, Any] = {}
        self._starting = "the service is being loaded"
        self.limiter = Limiter()
        self.traffic = Traffic()
        self.is_draining = False
        self.bodies_end = float("inf")
        self.waits: set[asyncio.Timeout] = set()

    @property
    def is_serving(self) -> bool:
        """Whether requests are answered by the service's application."""
        return self._app is not None

    def tell(self, starting: str) -> None:
        """Say what is being started."""
        self._starting = starting

    def serve(self, app: ASGIApp, state: Mapping[str, Any]) -> None:
        """Let `app` answer from now on, with `state` in the scope of each request."""
        self._app, self._state = app, state

    def end_bodies(self, after_s: float) -> None:
        """Give up bodies that have not come in `after_s` seconds."""
        self.bodies_end = asyncio.get_running_loop().time() + after_s
        for wait in self.waits:
            if not wait.expired():  # its task has not been told yet
                wait.reschedule(min(wait.when() or self.bodies_end, self.bodies_end))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have it answered."""
        path = scope["path"]
        is_stopping = self.is_draining and path == "/readyz"
        if self._app is not None and not is_stopping:
            scope["state"].update(self._state)
            await self._app(scope, receive, send)
            return
        send = answer_as(scope, ids_of(scope), send)
        if is_stopping:
            await _send_status(send, 503, {"status": "stopping", "reason": STOPPING})
        elif path == "/livez":
            await _send_status(send, 200, {"status": "ok"})
        elif path in ("/readyz", "/startupz"):
            await _send_status(send, 503, {"status": "starting", "reason": self._starting})
        else:
            await send_problem(send, NotReady(f"the service is starting: {self._starting}"))


async def _send_status(send: Send, status: int, document: Mapping[str, str]) -> None:
    body = json.dumps(document).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if status == 503:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
