"""Probes: alive, started, ready. They need no key."""

from dataclasses import asdict

from fastapi import APIRouter, Response

from service.features.operations.schemas import HealthOut, IndexOut, SnapshotOut, TowerOut
from service.http.dependencies import CurrentState, State

router = APIRouter(tags=["health"])


def _health(state: State, reason: str | None) -> HealthOut:
    ready = state.follower.is_ready
    lag_s = state.follower.lag_s
    return HealthOut(
        status="ok" if reason is None else "unavailable",
        model_version=state.model_version,
        device=state.device,
        index_rows=state.follower.index.count if ready else 0,
        index_sequence=state.follower.sequence,
        store_sequence=state.follower.head,
        lag_s=None if lag_s is None else round(lag_s, 3),
        index=IndexOut.model_validate(state.follower.index.state()) if ready else None,
        snapshot=SnapshotOut(source=state.follower.source, **asdict(state.snapshots.state)),
        store=state.store_name,
        towers=[
            TowerOut(
                name=spec.name,
                reads=spec.kind,
                encoded=state.towers.encoded[spec.name],
                decoded=state.towers.decoded[spec.name],
            )
            for spec in state.towers.specs
        ],
        reason=reason,
    )


@router.get("/livez", summary="The process answers")
async def livez() -> dict[str, str]:
    """Always ok: a restart would help with nothing else."""
    return {"status": "ok"}


@router.get("/startupz", summary="The index was built once")
async def startupz(state: CurrentState, response: Response) -> HealthOut:
    """503 until the first scan of the store is complete."""
    reason = None if state.follower.is_ready else "the index is being built from the store"
    response.status_code = 200 if reason is None else 503
    return _health(state, reason)


@router.get("/readyz", summary="Reads and writes work")
async def readyz(state: CurrentState, response: Response) -> HealthOut:
    """503 while the index is built or lags, or the store is silent; queries may work still."""
    reason = why_not_ready(state)
    response.status_code = 200 if reason is None else 503
    return _health(state, reason)


def why_not_ready(state: State) -> str | None:
    """For people; None when reads and writes work, on an index that is not behind."""
    if not state.follower.is_ready:
        return "the index is being built from the store"
    return state.store_problem() or state.follower.behind_because
