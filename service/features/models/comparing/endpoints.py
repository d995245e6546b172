"""`/v1/models/{model_id}:compare`: what would change if a model were promoted."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Query, Response

from service.errors import (
    ComparisonNotFound,
    IdempotencyKeyReused,
    ModelNotFound,
    ModelStateConflict,
    StoreFull,
    TooManyJobs,
)
from service.features.jobs.accepting import ACCEPTED, accepted
from service.features.jobs.schemas import QUEUED, JobOut
from service.features.models.comparing.jobs import KIND
from service.features.models.comparing.schemas import ComparisonOut, FlipOut, FlipPage, Kind
from service.features.models.endpoints import CurrentModels, ModelPath
from service.http.auth.audit import CurrentAudit
from service.http.auth.callers import CurrentCaller
from service.http.auth.route_scopes import requires
from service.http.dependencies import CheckedRouter
from service.http.documents import STORE, responses
from service.http.headers.cursors import Cursor, cursor_of, place_of
from service.http.headers.idempotency import OnceByKey
from service.http.headers.prefer import PrefersAsync
from service.http.json_bodies import JsonRoute
from service.http.openapi import RUNNING_IT
from service.http.schemas import with_nulls

router = CheckedRouter(route_class=JsonRoute, prefix="/v1", tags=[RUNNING_IT])
_ACCEPTED: dict[str, Any] = ACCEPTED | {
    "content": {"application/json": {"example": with_nulls(QUEUED | {"kind": KIND})}}
}


@router.post(
    "/models/{model_id:name}:compare",
    operation_id="compare_models",
    summary="Replay what people decided against a model that is ready",
    status_code=202,
    dependencies=[requires("admin")],
    responses={
        **responses(
            *STORE, StoreFull, IdempotencyKeyReused, TooManyJobs, ModelNotFound, ModelStateConflict
        ),
        202: _ACCEPTED,
    },
)
async def compare_models(
    models: CurrentModels,
    caller: CurrentCaller,
    audit: CurrentAudit,
    response: Response,
    model_id: ModelPath,
    prefers_async: PrefersAsync,
    once: OnceByKey,
    sample: Annotated[
        int | None,
        Query(
            ge=1,
            le=10_000,
            description="Streamers drawn at random whose neighbours are compared; by default as "
            "the settings say.",
        ),
    ] = None,
) -> JobOut:
    """A job reads judgements, verdicts, decided alerts and ratings, and changes nothing.

    It goes behind all other work. `:promote` needs its report, see `GET /v1/models/{model_id}`.
    """
    audit.about(action="compare models")
    await models.get(model_id)
    job = await models.comparing.start(model_id, sample, once, caller.key)
    return accepted(job, response, is_preferred=prefers_async)


@router.get(
    "/models/{model_id:name}/comparison",
    operation_id="get_comparison",
    summary="Show what changes with a model",
    dependencies=[requires("admin")],
    responses=responses(*STORE, ComparisonNotFound),
)
async def get_comparison(models: CurrentModels, model_id: ModelPath) -> ComparisonOut:
    """The report of the last comparison that came to its end."""
    return ComparisonOut.model_validate(asdict(await models.comparing.report(model_id)))


@router.get(
    "/models/{model_id:name}/comparison/flips",
    operation_id="list_flips",
    summary="List decisions that flip with a model, in pages",
    dependencies=[requires("admin")],
    responses=responses(*STORE, ComparisonNotFound),
)
async def list_flips(
    models: CurrentModels,
    audit: CurrentAudit,
    model_id: ModelPath,
    kind: Annotated[Kind, Query(description="Of the decisions.")] = "judgements",
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most flips on a page.")] = 100,
) -> FlipPage:
    """The lost ones first, those whose probability changes most before others.

    A cursor ends with its report: when the model is compared again, begin anew.
    """
    report = await models.comparing.report(model_id)
    listing = f"flips-{report.job_id}-{kind}"
    found, following = await models.comparing.flips(report, kind, place_of(cursor, listing), limit)
    audit.about(name for flip in found for name in flip.ids)
    return FlipPage(
        flips=[FlipOut.model_validate(asdict(flip)) for flip in found],
        next_cursor=cursor_of(following, listing),
    )
