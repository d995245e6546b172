"""Server-sent events, and who waits for news.

Nothing is queued for a client: the next event is made when the one before was taken, so one that
never reads costs a connection, until that is closed (`STREAMER_SERVER__IDLE_TIMEOUT_S`).
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

from fastapi.sse import format_sse_event
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.errors import Overloaded, ServiceError, Unavailable
from service.http.auth.callers import KEYLESS, Caller
from service.http.lifecycle import Lifecycle

HEARTBEAT_S = 10.0
"""A comment keeps connections open on which nothing happens for so long."""
MOST_WATCHERS = 100
MOST_OF_A_KEY = 25
"""So that no key takes all places."""
_RETRY_S = 1.0
MEDIA_TYPE = "text/event-stream"
Take = Callable[[], Awaitable[tuple[bytes, bool]]]
"""The next events as text, and whether they are the last."""


class EventStream(StreamingResponse):
    """Events, until they end or the client leaves.

    Attributes:
        place: of who waits, given back then.
    """

    media_type = MEDIA_TYPE
    place: contextlib.ExitStack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all events."""
        with self.place:
            await super().__call__(scope, receive, send)


def event_stream(parts: AsyncGenerator[bytes, None], place: contextlib.ExitStack) -> EventStream:
    """An answer of events, which no proxy keeps, to who has a place (`Watchers.waiting`)."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    stream = EventStream(parts, headers=headers)
    stream.place = place
    return stream


class Watchers:
    """Counts those who wait; more than `MOST_WATCHERS`, or `MOST_OF_A_KEY`, are refused."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        """Nobody waits yet; all end when `lifecycle` says that the process stops."""
        self._lifecycle = lifecycle
        self._waiting: Counter[str] = Counter()

    @property
    def is_over(self) -> bool:
        """Whether the process stops."""
        return self._lifecycle.is_draining

    @contextlib.contextmanager
    def waiting(self, caller: Caller, instead: str) -> Generator[None, None, None]:
        """Count a caller who waits, at once: those who come meanwhile find the place taken.

        Args:
            caller: who would wait.
            instead: what to do in place of it.

        Raises:
            Overloaded: so many wait already.
        """
        if self._waiting.total() >= MOST_WATCHERS:
            raise Overloaded(f"{MOST_WATCHERS} clients wait for news already; {instead}")
        if caller != KEYLESS and self._waiting[caller.key_id] >= MOST_OF_A_KEY:
            raise Overloaded(
                f"{MOST_OF_A_KEY} clients of your key wait for news already; {instead}"
            )
        self._waiting[caller.key_id] += 1
        try:
            yield
        finally:
            self._waiting[caller.key_id] -= 1
            if not self._waiting[caller.key_id]:
                del self._waiting[caller.key_id]

    async def stream(
        self,
        take: Take,
        pause: Callable[[], Awaitable[object]],
        check: Callable[[], object],
        seen: Callable[[], str | None] = lambda: None,
    ) -> AsyncGenerator[bytes, None]:
        """Whatever `take` gives, again and again.

        Comments while there is nothing have what `seen` gives for an id: a client that has looked
        at everything, and was told nothing of it, goes on behind that.

        It ends with the last event, when the process stops, and once `check` raises a
        `ServiceError`, as when the key was revoked. `take` and `pause` may raise that something is
        not available at the moment.
        """
        spoke = time.monotonic()
        while True:
            text, is_last = await _or_nothing(take)
            if text:
                spoke = time.monotonic()
                yield text
            if is_last or self.is_over:
                return
            if time.monotonic() - spoke >= HEARTBEAT_S:
                spoke = time.monotonic()
                yield format_sse_event(comment="still here", id=seen())
            try:
                await pause()
            except Unavailable:
                await asyncio.sleep(_RETRY_S)
            try:
                check()
            except ServiceError:
                return


async def _or_nothing(take: Take) -> tuple[bytes, bool]:
    try:
        return await take()
    except Unavailable:  # the store does not answer at the moment
        return b"", False
    except ServiceError:  # what comes next is not kept any more
        return b"", True
