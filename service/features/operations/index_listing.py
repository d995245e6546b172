"""`/v1/index`: what the index holds, for those who compare it with the store."""

import json
from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from service.features.operations.health import CurrentOperations
from service.features.operations.verification import held_by
from service.http.ndjson import NDJSON
from service.index.base import VectorIndex

router = APIRouter(prefix="/v1", tags=["health"])
_LINES = 500


@router.get(
    "/index",
    summary="Everyone in the index, with the version and a digest of the vector",
    response_class=StreamingResponse,
    responses={200: {"content": {NDJSON: {}}, "description": "One streamer a line."}},
)
def get_index(operations: CurrentOperations) -> StreamingResponse:
    """NDJSON; `digest` is empty without a vector. `python -m service verify --url` reads it."""
    return StreamingResponse(_lines(operations.serving.follower.index), media_type=NDJSON)


async def _lines(index: VectorIndex) -> AsyncIterator[bytes]:
    lines: list[str] = []
    async for streamer_id, version, digest in held_by(index):
        lines.append(
            json.dumps({"streamer_id": streamer_id, "version": version, "digest": digest}) + "\n"
        )
        if len(lines) == _LINES:
            yield "".join(lines).encode()
            lines.clear()
    yield "".join(lines).encode()
