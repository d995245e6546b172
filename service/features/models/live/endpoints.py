"""`/v1/models/{model_id}:shadow` and `:canary`: a model and live questions before its promotion."""

from service.errors import ModelNotFound, ModelStateConflict, ShadowNotFound, StoreFull
from service.features.models.endpoints import CurrentModels, ModelPath, model_out
from service.features.models.live.schemas import CanaryIn, ShadowIn, ShadowOut
from service.features.models.live.shown import shadow_out
from service.features.models.schemas import ModelVersionOut
from service.http.auth.audit import CurrentAudit
from service.http.auth.route_scopes import requires
from service.http.dependencies import CheckedRouter
from service.http.documents import BODY, STORE, responses
from service.http.json_bodies import JsonRoute
from service.http.openapi import RUNNING_IT

router = CheckedRouter(route_class=JsonRoute, prefix="/v1", tags=[RUNNING_IT])
_ERRORS = (*BODY, *STORE, StoreFull, ModelNotFound, ModelStateConflict)


@router.post(
    "/models/{model_id:name}:shadow",
    operation_id="shadow_model",
    summary="Ask a model that is ready a sample of the live questions, or end that",
    dependencies=[requires("admin")],
    responses=responses(*_ERRORS),
)
async def shadow_model(
    models: CurrentModels, audit: CurrentAudit, model_id: ModelPath, body: ShadowIn
) -> ModelVersionOut:
    """Questions for similar streamers, on all replicas, once they are answered; nobody waits.

    Asked again it changes the sample, and the report goes on. A promotion ends it.
    """
    audit.about(action="shadow model" if body.sample else "end shadow of model")
    await models.live.shadow(model_id, body.sample, is_anew=body.anew)
    return model_out(await models.get(model_id))


@router.get(
    "/models/{model_id:name}/shadow",
    operation_id="get_shadow",
    summary="Show what live answers would change with a model",
    dependencies=[requires("admin")],
    responses=responses(*STORE, StoreFull, ShadowNotFound),
)
async def get_shadow(models: CurrentModels, audit: CurrentAudit, model_id: ModelPath) -> ShadowOut:
    """The report of the last shadow; other replicas add to it every 2 seconds."""
    report = await models.live.report(model_id)
    audit.about(sorted({name for each in report.changes for name in each.seeds}))
    return shadow_out(report)


@router.post(
    "/models/{model_id:name}:canary",
    operation_id="canary_model",
    summary="Answer a share of the callers by a model that is ready, or end that",
    dependencies=[requires("admin")],
    responses=responses(*_ERRORS),
)
async def canary_model(
    models: CurrentModels, audit: CurrentAudit, model_id: ModelPath, body: CanaryIn
) -> ModelVersionOut:
    """Their questions for similar streamers, on all replicas within a second.

    A caller is named by the header X-Client-Id, else by the key, without keys by the address. What
    the model can't answer the active one does. A promotion ends it.
    """
    audit.about(action="canary model" if body.share else "end canary of model")
    await models.live.canary(model_id, body.share)
    return model_out(await models.get(model_id))
