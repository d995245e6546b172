"""A transport that answers by a script, for what a real service does at no predictable moment."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import httpx

from service.client import AsyncClient, Client, Patience
from service.client.lines import NDJSON

Step = httpx.Response | Exception
WRITTEN: dict[str, Any] = {
    "streamer_id": "a",
    "version": 7,
    "sequence": 7,
    "created": True,
    "model_version": "m",
    "status": "indexed",
    "modalities": {},
    "coverage": 1.0,
    "near_duplicates": [],
}
EMPTY = {
    "hits": [],
    "complete": True,
    "exact": True,
    "model_version": "m",
    "index_sequence": 7,
    "took_ms": 1.0,
}
AT_ONCE = Patience(first_pause_s=1e-4, longest_pause_s=1e-3)


class Script:
    """Answers requests one after the other.

    Attributes:
        steps: what is left; a response, or an error of the connection.
        seen: the requests so far, without those for the OpenAPI document.
        keyed: methods for which that document has `Idempotency-Key`.
        refused: what comes in place of that document, first of all.
    """

    def __init__(
        self, *steps: Step, keyed: tuple[str, ...] = (), refused: Sequence[Step] = ()
    ) -> None:
        self.steps = list(steps)
        self.seen: list[httpx.Request] = []
        self.keyed = keyed
        self.refused = list(refused)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/openapi.json":
            if self.refused:
                return self._done(self.refused.pop(0))
            parameter = {"name": "idempotency-key", "in": "header"}
            operations = {method.lower(): {"parameters": [parameter]} for method in self.keyed}
            return httpx.Response(
                200, json={"paths": {"/v1/streamers/{streamer_id}": {"get": {}, **operations}}}
            )
        self.seen.append(request)
        return self._done(self.steps.pop(0))

    @staticmethod
    def _done(step: Step) -> httpx.Response:
        if isinstance(step, Exception):
            raise step
        return step

    async def _answer_later(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        return self._answer(request)

    def client(self, patience: Patience = AT_ONCE, **options: Any) -> Client:
        http = httpx.Client(transport=httpx.MockTransport(self._answer))
        return Client("http://service/", patience=patience, http=http, **options)

    def async_client(self, patience: Patience = AT_ONCE) -> AsyncClient:
        http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer_later))
        return AsyncClient("http://service", patience=patience, http=http)


def problem(status: int, code: str, **headers: str) -> httpx.Response:
    document = {"type": f"/errors#{code}", "title": "t", "status": status, "code": code}
    return httpx.Response(
        status, json={**document, "detail": "why"}, headers={"x-request-id": "r-1", **headers}
    )


def lines(*documents: dict[str, Any], then: Callable[[], Exception] | None = None) -> Step:
    """An answer of result lines, which breaks off where `then` makes an error."""

    def parts() -> Iterator[bytes]:
        for document in documents:
            yield json.dumps(document).encode() + b"\n"
        if then is not None:
            yield b'{"line": 9'
            raise then()

    class Parts(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            return parts()

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for part in parts():
                yield part

    return httpx.Response(200, headers={"content-type": NDJSON}, stream=Parts())


def stored(line: int) -> dict[str, Any]:
    return {"line": line, "outcome": "created", "streamer_id": "x", "version": 1, "sequence": line}


def refused(line: int, status: int, code: str) -> dict[str, Any]:
    error = {"type": "/errors", "title": "t", "status": status, "code": code, "detail": "why"}
    return {"line": line, "outcome": "error", "error": error}
