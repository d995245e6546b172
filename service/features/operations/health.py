"""Probes: alive, started, ready. They need no key."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from service.features.operations.schemas import (
    HealthOut,
    IndexOut,
    SkippedRecordsOut,
    SnapshotOut,
    TowerOut,
)
from service.features.operations.service import Operations
from service.http.dependencies import service_named

router = APIRouter(tags=["health"])
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


@router.get("/livez", summary="The process answers")
async def livez() -> dict[str, str]:
    """Always ok: a restart would help with nothing else."""
    return {"status": "ok"}


@router.get("/startupz", summary="The index was built once")
async def startupz(operations: CurrentOperations, response: Response) -> HealthOut:
    """503 until the first scan of the store is complete."""
    is_ready = operations.serving.follower.is_ready
    reason = None if is_ready else "the index is being built from the store"
    response.status_code = 200 if reason is None else 503
    return _health(operations, reason)


@router.get("/readyz", summary="Reads and writes work")
async def readyz(operations: CurrentOperations, response: Response) -> HealthOut:
    """503 while the index is built or lags, or the store is silent; queries may still work.

    A store that is silent for a few seconds is named in `degraded_because` alone.
    """
    reason = operations.why_not_ready()
    response.status_code = 200 if reason is None else 503
    return _health(operations, reason)
