"""What every request passes before anything of it is read: request id, API key, body limit.

Pure ASGI, so that it also covers what FastAPI does before dependencies run (it reads the body
first). Starlette's own body limit answers in plain text; ours answers as all other errors do.
"""

import hmac
import json
import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import MEDIA_TYPE, problem_of
from service.errors import BodyTooLarge, RequestError, Unauthorized

_REQUEST_ID = re.compile(r"^[A-Za-z0-9._:-]{1,128}$")
_BULK_PATH = "/v1/streamers:bulk"


class Gate:
    """ASGI middleware; guards everything below `/v1/`."""

    def __init__(
        self, app: ASGIApp, *, api_key: str | None, body_limit: int, bulk_body_limit: int
    ) -> None:
        """Without `api_key` everyone may pass; limits are in bytes."""
        self._app = app
        self._api_key = None if api_key is None else api_key.encode()
        self._body_limit = body_limit
        self._bulk_body_limit = bulk_body_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        scope["request_id"] = given if _REQUEST_ID.match(given) else uuid.uuid4().hex

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-Id"] = scope["request_id"]
            await send(message)

        limit = self._bulk_body_limit if scope["path"] == _BULK_PATH else self._body_limit
        try:
            if scope["path"].startswith("/v1/"):
                self._check_key(headers.get("authorization", ""))
            length = headers.get("content-length", "")
            if length.isdigit() and int(length) > limit:
                raise _too_large(limit)
        except RequestError as error:
            await _refuse(error, scope, send_with_id)
            return
        await self._app(scope, _Counted(receive, limit), send_with_id)

    def _check_key(self, authorization: str) -> None:
        if self._api_key is None:
            return
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(key.encode(), self._api_key):
            raise Unauthorized("send the API key as 'Authorization: Bearer <key>'")


class _Counted:
    """A `receive` that stops a body without a declared length at the limit."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._seen = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
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
