"""Probes: alive, started, ready. They need no key."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Depends, Response

from service.features.operations.schemas import (
    HealthOut,
    IndexOut,
    SkippedRecordsOut,
    SnapshotOut,
    TowerOut,
)
from service.features.operations.service import Operations
from service.http.dependencies import CheckedRouter, service_named
from service.http.documents import ANY, responses
from service.http.openapi import RUNNING_IT

router = CheckedRouter(tags=[RUNNING_IT])
CurrentOperations = Annotated[Operations, Depends(service_named("operations", Operations))]


def _health(operations: Operations, reason: str | None) -> HealthOut:
    serving = operations.serving
    ready = serving.follower.is_ready
    lag_s = serving.follower.lag_s
    return HealthOut(
        status="ok" if reason is None else "unavailable",
        model_version=serving.model_version,
        device=serving.device,
        index_rows=serving.follower.index.count if ready else 0,
        index_sequence=serving.follower.sequence,
        store_sequence=serving.follower.head,
        lag_s=None if lag_s is None else round(lag_s, 3),
        index=IndexOut.model_validate(serving.follower.index.state()) if ready else None,
        skipped_records=SkippedRecordsOut.model_validate(serving.follower.skipped),
        snapshot=SnapshotOut(source=serving.follower.source, **asdict(serving.snapshots.state)),
        store=operations.store_name,
        towers=[
            TowerOut(
                name=spec.name,
                reads=spec.kind,
                encoded=serving.towers.encoded[spec.name],
                decoded=serving.towers.decoded[spec.name],
            )
            for spec in serving.towers.specs
        ],
        reason=reason,
        degraded_because=operations.why_degraded(),
    )


_PROBE = responses(common=ANY)
_UNAVAILABLE: dict[int | str, dict[str, Any]] = _PROBE | {
    503: {"model": HealthOut, "description": "Not yet, or not now; `reason` says why."}
}


def _say(response: Response, reason: str | None) -> None:
    """Set the status of a probe by the reason why the service is not ready."""
    if reason is not None:
        response.status_code = 503
        response.headers["Retry-After"] = "1"


@router.head("/livez", include_in_schema=False)
@router.get(
    "/livez",
    operation_id="check_liveness",
    summary="Liveness: the process answers",
    responses=_PROBE | {200: {"content": {"application/json": {"example": {"status": "ok"}}}}},
)
async def livez() -> dict[str, str]:
    """Always ok while the event loop runs."""
    return {"status": "ok"}


@router.head("/startupz", include_in_schema=False)
@router.get(
    "/startupz",
    operation_id="check_startup",
    summary="Startup: the index has been built",
    responses=_UNAVAILABLE,
)
async def startupz(operations: CurrentOperations, response: Response) -> HealthOut:
    """503 until the first scan of the store is complete."""
    is_ready = operations.serving.follower.is_ready
    reason = None if is_ready else "the index is being built from the store"
    _say(response, reason)
    return _health(operations, reason)


@router.head("/readyz", include_in_schema=False)
@router.get(
    "/readyz",
    operation_id="check_readiness",
    summary="Readiness: questions have fresh answers",
    responses=_UNAVAILABLE,
)
async def readyz(operations: CurrentOperations, response: Response) -> HealthOut:
    """503 while the index is built or lags, or the store is down; questions may still work.

    A store that does not answer for a few seconds, or answers and refuses writes, is named in
    `degraded_because` alone.
    """
    reason = operations.why_not_ready()
    _say(response, reason)
    return _health(operations, reason)
