"""`/v1/index`: its content, to compare it with the store, and rebuilds from the store."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, Response

from service.errors import IdempotencyKeyReused, NotReady, TooManyJobs
from service.features.jobs.accepting import ACCEPTED, accepted
from service.features.jobs.schemas import QUEUED, JobOut
from service.features.operations.health import CurrentOperations
from service.features.operations.rebuild import KIND, IndexRebuilds
from service.features.operations.schemas import IndexLineOut
from service.features.operations.verification import held_by
from service.http.auth.callers import CurrentCaller
from service.http.auth.route_scopes import requires
from service.http.dependencies import CheckedRouter, service_named
from service.http.documents import STORE, responses
from service.http.headers.idempotency import OnceByKey
from service.http.headers.prefer import PrefersAsync
from service.http.ndjson import NdjsonResponse, documented_lines
from service.http.openapi import RUNNING_IT
from service.http.schemas import with_nulls
from service.index.base import VectorIndex

router = CheckedRouter(prefix="/v1", tags=[RUNNING_IT])
CurrentRebuilds = Annotated[IndexRebuilds, Depends(service_named("rebuilds", IndexRebuilds))]
_LINES = 500
_ACCEPTED: dict[str, Any] = ACCEPTED | {
    "content": {"application/json": {"example": with_nulls(QUEUED | {"kind": KIND})}}
}


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


@router.post(
    "/index:rebuild",
    operation_id="rebuild_index",
    summary="Rebuild the index of this replica from the store",
    status_code=202,
    dependencies=[requires("admin")],
    responses={**responses(*STORE, IdempotencyKeyReused, TooManyJobs), 202: _ACCEPTED},
)
async def rebuild_index(
    rebuilds: CurrentRebuilds,
    caller: CurrentCaller,
    response: Response,
    prefers_async: PrefersAsync,
    once: OnceByKey,
) -> JobOut:
    """A job reads every stored streamer into a new index, which then takes the old one's place.

    It is about the replica that answers, which the job names as `place`; of several replicas one
    rebuilds at a time. Questions are answered by the old index meanwhile, and what is written is in
    both. It needs the memory of a second index. Cancelled or failed, it has changed nothing.
    """
    return accepted(await rebuilds.start(once, caller.key), response, is_preferred=prefers_async)


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
