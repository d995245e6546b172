"""`/v1/cold-start`: a new streamer in the recommender's own terms."""

from typing import Annotated

from fastapi import APIRouter, Depends

from model_export.contract.streamer import StreamerContent, StreamerProfile
from service.errors import StreamerNotFound
from service.features.cold_start.schemas import (
    ColdStartIn,
    ColdStartOut,
    FallbackOut,
    IdEmbeddingOut,
    NeighbourOut,
)
from service.features.cold_start.service import ColdStart
from service.http.auth.callers import CurrentCaller
from service.http.auth.rate_limits import PROFILE_UNITS, CurrentCharges, hits_units
from service.http.auth.route_scopes import requires
from service.http.dependencies import CurrentLimits, check_at_most, service_named
from service.http.documents import BODY, INDEX, MEDIA, STORE, responses
from service.http.json_bodies import JsonRoute
from service.http.openapi import RECOMMENDER
from service.http.problems import Checked

router = APIRouter(route_class=JsonRoute, prefix="/v1", tags=[RECOMMENDER])
CurrentColdStart = Annotated[ColdStart, Depends(service_named("cold_start", ColdStart))]

_UNSEEN = "a vector is personal data: the key lacks the scope embeddings:read"


@router.post(
    "/cold-start",
    operation_id="place_newcomer",
    summary="Place a new streamer among established ones",
    dependencies=[requires("coldstart")],
    responses=responses(*BODY, *INDEX, *STORE, *MEDIA, StreamerNotFound),
)
async def place_new_streamer(
    cold_start: CurrentColdStart,
    caller: CurrentCaller,
    charges: CurrentCharges,
    limits: CurrentLimits,
    body: Checked[ColdStartIn],
) -> ColdStartOut:
    """The nearest established streamers, and a vector in the recommender's own ID space.

    The vector is shown to keys with the scope `embeddings:read`.
    """
    check_at_most(body.neighbours, limits.max_k, "neighbours")
    has_profile = body.profile is not None
    charges.reach("coldstart", hits_units(body.neighbours) + has_profile * PROFILE_UNITS)
    profile = None
    if body.profile is not None:
        # No stored id has a blank: it can't exclude anyone from its own neighbours.
        fields = {name: getattr(body.profile, name) for name in StreamerContent.model_fields}
        profile = StreamerProfile.model_construct(streamer_id=" ", **fields)
    answer = await cold_start.answer(
        streamer_id=body.streamer_id,
        profile=profile,
        space=body.space,
        neighbours=body.neighbours,
        after_sequence=body.after_sequence,
    )
    may_see = "embeddings:read" in caller.scopes
    predicted = answer.id_embedding if may_see else None
    return ColdStartOut(
        neighbours=[NeighbourOut.model_validate(n) for n in answer.neighbours],
        id_embedding=None
        if predicted is None
        else IdEmbeddingOut.model_validate(
            {
                "space": predicted.space,
                "vector": predicted.vector.tolist(),
                "method": predicted.method,
                "confidence": predicted.confidence,
            }
        ),
        id_embedding_unavailable_because=None if may_see else _UNSEEN,
        fallback=FallbackOut.model_validate(
            {"used": answer.fallback_reason is not None, "reason": answer.fallback_reason}
        ),
        modalities=answer.modalities,
        coverage=answer.coverage,
        complete=answer.incomplete_because is None,
        incomplete_because=answer.incomplete_because,
        model_version=cold_start.model_version,
        index_sequence=answer.index_sequence,
    )
