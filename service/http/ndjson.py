"""Newline-delimited JSON, in and out."""

import re
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from fastapi.responses import StreamingResponse
from pydantic_core import to_json
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

NDJSON = "application/x-ndjson"
NPZ = "application/x-npz"
PARQUET = "application/vnd.apache.parquet"
BULK_PATH = "/v1/streamers:bulk"
"""The route whose body is read while its answer is written."""
COLD_START_PATH = "/v1/cold-start:batch"
"""The route that answers a question for each line."""
IMPORTS_PATH = "/v1/jobs/imports"
"""The route whose body goes to a file: lines, or JSON that names a file."""
HAND_OVERS = "/v1/spaces/{space}/generations/{generation}"
"""The route whose body is all vectors of a recommender; it goes to a file as well."""
STREAMED = {
    BULK_PATH: (NDJSON,),
    COLD_START_PATH: (NDJSON,),
    IMPORTS_PATH: (NDJSON, PARQUET),
    HAND_OVERS: (NDJSON, NPZ, PARQUET),
}
"""What the bodies of these routes may be, which are read as they come."""
_HAND_OVER = re.compile(r"/v1/spaces/.+/generations/.+")


def streamed_route(method: str, path: str) -> str | None:
    """Which route of `STREAMED` a request asks for; None = another one."""
    if method == "PUT" and _HAND_OVER.fullmatch(path):
        return HAND_OVERS
    return path if path in STREAMED else None


def documented_lines(
    model: Any, description: str, example: Iterable[Mapping[str, Any]]
) -> dict[int | str, dict[str, Any]]:
    """The entry of `responses` for lines that `model` describes.

    FastAPI documents a stream as a string; the type given here replaces that.
    """
    text = b"".join(map(line_of, example)).decode()
    lines = {"schema": {"type": "object"}, "examples": {"lines": {"value": text}}}
    return {200: {"model": model, "content": {NDJSON: lines}, "description": description}}


class NdjsonResponse(StreamingResponse):
    """Lines, until the client leaves."""

    media_type = NDJSON


class DuplexNdjsonResponse(NdjsonResponse):
    """Result lines, sent while the request is still being read.

    Starlette's own streaming response reads from the client to notice that it left, and would
    swallow parts of the body; here the reader of the body notices.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all lines."""
        await self.stream_response(send)


async def lines_of(body: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    """Lines without their ends; of one that is too long only the start, one byte over `limit`."""
    rest = bytearray()
    try:
        async for part in body:
            start = 0
            while (end := part.find(b"\n", start)) >= 0:
                rest += part[start : min(end, start + limit + 1 - len(rest))]
                yield bytes(rest)
                rest.clear()
                start = end + 1
            rest += part[start : start + limit + 1 - len(rest)]
    except ClientDisconnect:
        return  # nobody is left to answer to, and half a line is no line
    if rest:
        yield bytes(rest)


def line_of(value: Mapping[str, Any]) -> bytes:
    """One line, with its end."""
    return to_json(value) + b"\n"
