"""What every request passes before anything of it is read: request id, API key, body limits.

Pure ASGI, so that it also covers what FastAPI does before dependencies run (it reads the body
first). Starlette's own body limit answers in plain text; ours answers as all other errors do.
"""

import asyncio
import hmac
import json
import os
import re
import time
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLarge, RequestError, Unauthorized
from service.http.documents import MEDIA_TYPE, problem_of
from service.http.traffic import Traffic

_REQUEST_ID = re.compile(r"^[A-Za-z0-9._:-]{1,128}$")
_READ = frozenset({b"x-request-id", b"authorization", b"content-length"})
_BULK_PATH = "/v1/streamers:bulk"


class RequestGuard:
    """ASGI middleware; guards everything below `/v1/`."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        traffic: Traffic,
        api_key: str | None,
        body_limit: int,
        bulk_body_limit: int,
        body_timeout_s: float,
    ) -> None:
        """Without `api_key` everyone may pass; limits are in bytes; `traffic` counts.

        A body may pause for `body_timeout_s` seconds; one that is not of many lines has to be there
        within that time.
        """
        self._app = app
        self._traffic = traffic
        self._api_key = None if api_key is None else api_key.encode()
        self._body_limit = body_limit
        self._bulk_body_limit = bulk_body_limit
        self._body_timeout_s = body_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, status = time.perf_counter(), 0
        headers = _headers(scope)
        given = headers.get(b"x-request-id", "")
        request_id = given if _REQUEST_ID.match(given) else os.urandom(16).hex()
        scope["request_id"] = request_id
        header = (b"x-request-id", request_id.encode())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                nonlocal status
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        is_bulk = scope["path"] == _BULK_PATH
        limit = self._bulk_body_limit if is_bulk else self._body_limit
        body = _Body(receive, limit, self._body_timeout_s, may_pause=is_bulk)
        try:
            refused = self._refused(scope["path"], headers, limit)
            if refused is None:
                await self._app(scope, body, send_with_id)
            else:
                await _refuse(refused, scope, send_with_id)
        finally:
            self._traffic.note(scope, status, time.perf_counter() - begin)

    def _refused(self, path: str, headers: Mapping[bytes, str], limit: int) -> RequestError | None:
        """Why a request may not pass, None if it may."""
        if path.startswith("/v1/") and not self._knows_key(headers.get(b"authorization", "")):
            return Unauthorized("send the API key as 'Authorization: Bearer <key>'")
        length = headers.get(b"content-length", "")
        return _too_large(limit) if length.isdigit() and int(length) > limit else None

    def _knows_key(self, authorization: str) -> bool:
        if self._api_key is None:
            return True
        scheme, _, key = authorization.partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(key.encode(), self._api_key)


def _headers(scope: Scope) -> dict[bytes, str]:
    """Those that are looked at; of one that is given twice, the first."""
    found: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        if name in _READ:
            found.setdefault(name, value.decode("latin-1"))
    return found


class _Body:
    """A `receive` that stops a body at the limit, declared or not, and one that doesn't come."""

    def __init__(self, receive: Receive, limit: int, timeout_s: float, *, may_pause: bool) -> None:
        self._receive = receive
        self._limit = limit
        self._seen = 0
        self._timeout_s = timeout_s
        self._may_pause = may_pause
        self._until = 0.0  # known once it is waited for
        self._is_complete = False  # then `receive` waits for the client to leave

    async def __call__(self) -> Message:
        if self._is_complete:
            return await self._receive()
        if self._may_pause or not self._until:
            self._until = asyncio.get_running_loop().time() + self._timeout_s
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(
                408, f"the body did not come within {self._timeout_s:g} s; send it faster"
            ) from None
        if message["type"] == "http.request":
            self._is_complete = not message.get("more_body", False)
            self._seen += len(message.get("body", b""))
            if self._seen > self._limit:
                raise HTTPException(413, _too_large(self._limit).detail)
        return message


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"the body may have {limit} bytes; send less at once, many streamers by {_BULK_PATH}"
    )


async def _refuse(error: RequestError, scope: Scope, send: Send) -> None:
    body = json.dumps(problem_of(error, scope["request_id"])).encode()
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
