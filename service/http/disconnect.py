"""Cancels questions whose client has left, so that nothing more is computed for them."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.ndjson import BULK_PATH

_WRITES = frozenset({"PUT", "PATCH", "DELETE"})
_WRITTEN = (BULK_PATH, "/v1/keys", "/v1/models", "/v1/outreach", "/v1/watchlists")
"""Paths whose POST writes, in several steps: what became of a key is in the audit log, a change of
the model comes to its end, and who is erased meanwhile is forgotten, whoever still waits."""
_SWITCHES = (":promote", ":rollback")
"""What takes minutes, and would be left with replicas prepared and nothing switched."""


class CancelOnDisconnect:
    """ASGI middleware; writes go on, since what was begun may be on disk already."""

    def __init__(self, app: ASGIApp) -> None:
        """Cancel `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as long as somebody waits for the answer."""
        if scope["type"] != "http" or _goes_on(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        answering = asyncio.current_task()
        assert answering is not None
        watching: asyncio.Task[None] | None = None
        has_left = False

        async def watch() -> None:
            nonlocal has_left
            while (await receive())["type"] != "http.disconnect":
                pass
            has_left = True
            answering.cancel()

        async def send_and_end(message: Message) -> None:
            is_last = message["type"] == "http.response.body" and not message.get("more_body")
            if is_last and watching is not None:
                watching.cancel()
            await send(message)

        async def receive_and_watch() -> Message:
            nonlocal watching
            message = await receive()
            is_whole = message["type"] == "http.request" and not message.get("more_body")
            if is_whole and watching is None:
                watching = asyncio.create_task(watch())
            return message

        if scope["method"] in ("GET", "HEAD"):
            watching = asyncio.create_task(watch())  # nobody asks for its body
        try:
            await self._app(scope, receive_and_watch, send_and_end)
        except asyncio.CancelledError:
            if not has_left or answering.uncancel():
                raise
        finally:
            if watching is not None:
                watching.cancel()


def _goes_on(method: str, path: str) -> bool:
    is_written = path.startswith(_WRITTEN) or path.endswith(_SWITCHES)
    return method in _WRITES or (method == "POST" and is_written)
