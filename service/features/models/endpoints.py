"""`/v1/models`: the model of a running service, and changing it without a stop."""

from typing import Annotated, Any

from fastapi import Depends, Path, Query, Response

from service.errors import (
    IdempotencyKeyReused,
    ModelGateFailed,
    ModelNotEverywhere,
    ModelNotFound,
    ModelStateConflict,
    StoreFull,
    TooManyJobs,
)
from service.features.jobs.accepting import ACCEPTED, accepted
from service.features.jobs.schemas import QUEUED, JobOut
from service.features.jobs.shown import job_out
from service.features.models.backfill import KIND
from service.features.models.comparing.schemas import GateOut
from service.features.models.schemas import (
    ModelVersionOut,
    ModelVersionsOut,
    RegisterIn,
    ReplicaOut,
)
from service.features.models.service import Models
from service.features.models.showing import ShownModel
from service.http.auth.audit import CurrentAudit
from service.http.auth.callers import CurrentCaller
from service.http.auth.route_scopes import requires
from service.http.dependencies import CheckedRouter, service_named
from service.http.documents import BODY, STORE, responses
from service.http.headers.idempotency import OnceByKey
from service.http.headers.prefer import PrefersAsync
from service.http.json_bodies import JsonRoute
from service.http.openapi import RUNNING_IT
from service.http.schemas import with_nulls

router = CheckedRouter(route_class=JsonRoute, prefix="/v1", tags=[RUNNING_IT])
CurrentModels = Annotated[Models, Depends(service_named("models", Models))]
ModelPath = Annotated[
    str,
    Path(
        pattern=r"^[A-Za-z0-9._-]+$",
        min_length=1,
        max_length=140,
        description="Version of the model, of its bundle's manifest.",
        openapi_examples={"demo": {"value": "transfer-plus-a931f7997f06"}},
    ),
]
_ACCEPTED: dict[str, Any] = ACCEPTED | {
    "content": {"application/json": {"example": with_nulls(QUEUED | {"kind": KIND})}}
}


def model_out(shown: ShownModel) -> ModelVersionOut:
    """A model, as the API shows it."""
    record, name = shown.record, shown.model_version
    replicas = [
        ReplicaOut(
            replica=replica,
            has_bundle=record is not None and held["bundles"].get(name) == record.sha256,
            problem=held["problems"].get(name),
            encodes=name in held["encodes"],
            is_indexed=name in held["indexed"],
            serves=held["serves"] == name,
        )
        for replica, held in sorted(shown.replicas.items())
    ]
    return ModelVersionOut(
        model_version=name,
        state=shown.state,
        folder=record and record.folder,
        sha256=record and record.sha256,
        recipe=record and record.recipe,
        dim=record and record.dim,
        registered_at=record and record.registered_at,
        backfill=shown.job and job_out(shown.job),
        replicas=replicas,
        gate=shown.gate and GateOut(state=shown.gate.state, reasons=list(shown.gate.reasons)),
        warnings=list(shown.warnings),
        canary_share=shown.live.canary_share if shown.live else 0.0,
        shadow_sample=shown.live.shadow_sample if shown.live else 0.0,
    )


@router.get(
    "/models",
    operation_id="list_models",
    summary="List models and their states",
    dependencies=[requires("admin")],
    responses=responses(*STORE),
)
async def list_models(models: CurrentModels) -> ModelVersionsOut:
    """All that are registered, and the one that serves."""
    return ModelVersionsOut(models=[model_out(shown) for shown in await models.all()])


@router.post(
    "/models",
    operation_id="register_model",
    status_code=201,
    summary="Register a bundle below the folder of models",
    dependencies=[requires("admin")],
    responses=responses(*BODY, *STORE, StoreFull, ModelStateConflict),
)
async def register_model(
    models: CurrentModels, caller: CurrentCaller, audit: CurrentAudit, body: RegisterIn
) -> ModelVersionOut:
    """The bundle is verified, file by file; it changes nothing of what is served."""
    audit.about(action="register model")
    return model_out(await models.register(body.folder, caller.key_id))


@router.get(
    "/models/{model_id:name}",
    operation_id="get_model_version",
    summary="Show a model: its state, its backfill, and what replicas hold of it",
    dependencies=[requires("admin")],
    responses=responses(*STORE, ModelNotFound),
)
async def get_model(models: CurrentModels, model_id: ModelPath) -> ModelVersionOut:
    """A model that is registered, or serves."""
    return model_out(await models.get(model_id))


@router.post(
    "/models/{model_id:name}:backfill",
    operation_id="backfill_model",
    summary="Encode every stored streamer for a model",
    status_code=202,
    dependencies=[requires("admin")],
    responses={
        **responses(
            *STORE,
            StoreFull,
            IdempotencyKeyReused,
            TooManyJobs,
            ModelNotFound,
            ModelStateConflict,
            ModelNotEverywhere,
        ),
        202: _ACCEPTED,
    },
)
async def backfill_model(
    models: CurrentModels,
    caller: CurrentCaller,
    audit: CurrentAudit,
    response: Response,
    model_id: ModelPath,
    prefers_async: PrefersAsync,
    once: OnceByKey,
    streamers_per_s: Annotated[
        float | None,
        Query(
            gt=0,
            le=100_000,
            description="At most so many; by default no limit, or that from before.",
        ),
    ] = None,
) -> JobOut:
    """A job does it beside what is served; once it has begun, every write is encoded for both.

    Paused or failed, it goes on where it stood when this is asked again, at the pace that is asked
    for, without one as before. To change the pace of one under way, pause it first.
    """
    audit.about(action="backfill model")
    job = await models.backfill(model_id, streamers_per_s, once, caller.key)
    return accepted(job, response, is_preferred=prefers_async)


@router.post(
    "/models/{model_id:name}:pause",
    operation_id="pause_backfill",
    summary="Pause the backfill of a model",
    dependencies=[requires("admin")],
    responses=responses(*STORE, ModelNotFound, ModelStateConflict),
)
async def pause_backfill(
    models: CurrentModels, audit: CurrentAudit, model_id: ModelPath
) -> ModelVersionOut:
    """Writes go on being encoded for both models; `:backfill` lets it go on, `:retire` ends it."""
    audit.about(action="pause backfill")
    return model_out(await models.pause(model_id))


@router.post(
    "/models/{model_id:name}:promote",
    operation_id="promote_model",
    summary="Answer by a model that is ready, on all replicas",
    dependencies=[requires("admin")],
    responses=responses(
        *STORE, StoreFull, ModelNotFound, ModelStateConflict, ModelNotEverywhere, ModelGateFailed
    ),
)
async def promote_model(
    models: CurrentModels,
    audit: CurrentAudit,
    model_id: ModelPath,
    force: Annotated[
        bool,
        Query(description="Although what people decided stands against it, or was not replayed."),
    ] = False,
) -> ModelVersionOut:
    """Model, index, thresholds, calibration and parameters of the evidence change at once.

    Refused where decisions of people are stored and `:compare` was not asked, or found that too
    many of them flip; `warnings` says what could not be checked. A question in flight is answered
    by the model with which it began. The model that was active stays ready, and writes are encoded
    for both, until it is retired.
    """
    audit.about(action="force model promotion" if force else "promote model")
    return model_out(await models.promote(model_id, is_forced=force))


@router.post(
    "/models:rollback",
    operation_id="roll_back_model",
    summary="Answer by the model that was active before",
    dependencies=[requires("admin")],
    responses=responses(
        *STORE, StoreFull, ModelStateConflict, ModelNotEverywhere, IdempotencyKeyReused
    ),
)
async def roll_back_model(
    models: CurrentModels,
    audit: CurrentAudit,
    once: OnceByKey,
    leaving: Annotated[
        str | None,
        Query(
            alias="from",
            max_length=140,
            description="The model that is to be left: refused where another one is active, as "
            "after somebody else's roll-back. By default whichever is.",
        ),
    ] = None,
) -> ModelVersionOut:
    """Its answers are the same as before, with what was written meanwhile.

    Sent again it undoes itself, but with the same Idempotency-Key or with `from`. Replicas that
    start are not waited for: `warnings` names them.
    """
    audit.about(action="roll back model")
    return model_out(await models.roll_back(once, leaving))


@router.post(
    "/models/{model_id:name}:retire",
    operation_id="retire_model",
    summary="Keep a model no longer beside the active one",
    dependencies=[requires("admin")],
    responses=responses(*STORE, StoreFull, ModelNotFound, ModelStateConflict),
)
async def retire_model(
    models: CurrentModels, audit: CurrentAudit, model_id: ModelPath
) -> ModelVersionOut:
    """Writes are encoded for one model again, and the memory of the other's index is given back."""
    audit.about(action="retire model")
    return model_out(await models.retire(model_id))
