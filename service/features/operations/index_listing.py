"""`GET /v1/index`: the content of the index, to compare it with the store."""

import json
from collections.abc import AsyncIterator

from fastapi import APIRouter

from service.errors import NotReady
from service.features.operations.health import CurrentOperations
from service.features.operations.schemas import IndexLineOut
from service.features.operations.verification import held_by
from service.http.auth.route_scopes import requires
from service.http.documents import responses
from service.http.ndjson import NdjsonResponse, documented_lines
from service.http.openapi import RUNNING_IT
from service.index.base import VectorIndex

router = APIRouter(prefix="/v1", tags=[RUNNING_IT])
_LINES = 500


@router.get(
    "/index",
    operation_id="list_index",
    summary="List every streamer in the index, with its version and the digest of its vector",
    dependencies=[requires("admin")],
    response_class=NdjsonResponse,
    responses=responses(NotReady)
    | documented_lines(
        IndexLineOut,
        "NDJSON: one streamer per line.",
        [{"streamer_id": "w0087", "version": 88, "digest": "9f86d081884c7d65"}],
    ),
)
def get_index(operations: CurrentOperations) -> NdjsonResponse:
    """NDJSON that `python -m service verify --url` compares with the store."""
    return NdjsonResponse(_lines(operations.serving.follower.index))


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
