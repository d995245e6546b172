"""`/v1/cold-start`: a new streamer in the recommender's own terms."""

import time
from functools import partial
from typing import Annotated

from fastapi import Depends, Request, Response

from model_export.contract.streamer import StreamerContent, StreamerProfile
from service.errors import StreamerNotFound
from service.features.cold_start.answer import ColdStartAnswer, ColdStartQuestion
from service.features.cold_start.batch import answer_lines, questions_of
from service.features.cold_start.schemas import (
    LINES_ANSWER,
    ColdStartIn,
    ColdStartLineOut,
    ColdStartOut,
    FallbackOut,
    IdEmbeddingOut,
    NeighbourOut,
    UserOut,
)
from service.features.cold_start.service import ColdStart
from service.http.auth.audit import CurrentAudit
from service.http.auth.callers import CurrentCaller
from service.http.auth.rate_limits import PROFILE_UNITS, CurrentCharges, hits_units
from service.http.auth.route_scopes import requires
from service.http.dependencies import (
    CheckedRouter,
    CurrentLanes,
    CurrentLimits,
    check_at_most,
    service_named,
)
from service.http.documents import BODY, INDEX, MEDIA, STORE, responses
from service.http.json_bodies import JsonRoute
from service.http.ndjson import NDJSON, NdjsonResponse, documented_lines
from service.http.openapi import RECOMMENDER
from service.http.problems import Checked
from service.settings import Limits

router = CheckedRouter(route_class=JsonRoute, prefix="/v1", tags=[RECOMMENDER])
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
    audit: CurrentAudit,
    body: Checked[ColdStartIn],
) -> ColdStartOut:
    """The nearest established streamers, a vector in the recommender's ID space, and its users.

    The vector is shown to keys with the scope `embeddings:read`.
    """
    begin = time.perf_counter()
    check(body, limits)
    charges.reach("coldstart", units_of(body))
    audit.about([] if body.streamer_id is None else [body.streamer_id])
    answer = await cold_start.answer(question_of(body))
    may_see = "embeddings:read" in caller.scopes
    has_vectors = may_see and answer.id_embedding is not None
    audit.about(results=len(answer.neighbours), has_vectors=has_vectors)
    return out_of(answer, cold_start.model_version, begin, may_see=may_see)


@router.post(
    "/cold-start:batch",
    operation_id="place_newcomers",
    summary="Place many new streamers (NDJSON)",
    dependencies=[requires("coldstart")],
    response_class=NdjsonResponse,
    responses=responses(*BODY, *INDEX, *STORE, *MEDIA)
    | documented_lines(
        ColdStartLineOut, "NDJSON: one answer per line of the request, in order.", LINES_ANSWER
    ),
    openapi_extra={
        "requestBody": {
            "description": "Questions like those of POST /v1/cold-start, one per line.",
            "content": {
                NDJSON: {
                    "schema": {"$ref": "#/components/schemas/ColdStartIn"},
                    "examples": {
                        "two lines": {
                            "value": '{"streamer_id":"w0087","users":100}\n'
                            '{"profile":{"bio":"handmade noodles"},"users":100}\n'
                        }
                    },
                }
            },
        }
    },
)
async def place_new_streamers(
    cold_start: CurrentColdStart,
    caller: CurrentCaller,
    charges: CurrentCharges,
    limits: CurrentLimits,
    lanes: CurrentLanes,
    audit: CurrentAudit,
    request: Request,
) -> Response:
    """One question per line, one answer per line, in order. A bad line does not stop the others."""
    charge = partial(charges.reach, "coldstart")
    lines = await questions_of(
        request.stream(), limits, lanes, partial(check, limits=limits), charge
    )
    asked = [line.question for line in lines if line.question is not None]
    charge(sum(map(units_of, asked)) + len(lines) - len(asked))
    ids = [question.streamer_id for question in asked if question.streamer_id is not None]
    may_see = "embeddings:read" in caller.scopes
    audit.about(ids, len(lines), has_vectors=may_see and bool(asked))

    async def one(body: ColdStartIn) -> ColdStartOut:
        begin = time.perf_counter()
        answer = await cold_start.answer(question_of(body))
        return out_of(answer, cold_start.model_version, begin, may_see=may_see)

    return NdjsonResponse(answer_lines(lines, one))


def check(body: ColdStartIn, limits: Limits) -> None:
    """Refuse more than the settings allow.

    Raises:
        InvalidRequest: names the field.
    """
    check_at_most(body.neighbours, limits.max_k, "neighbours")
    check_at_most(body.users, limits.max_k, "users")


def units_of(body: ColdStartIn) -> int:
    """What a question costs of a rate limit."""
    users = hits_units(body.users) if body.users else 0
    return hits_units(body.neighbours) + users + (body.profile is not None) * PROFILE_UNITS


def question_of(body: ColdStartIn) -> ColdStartQuestion:
    """The question that a body asks."""
    profile = None
    if body.profile is not None:
        # No stored id has a blank: it can't exclude anyone from its own neighbours.
        fields = {name: getattr(body.profile, name) for name in StreamerContent.model_fields}
        profile = StreamerProfile.model_construct(streamer_id=" ", **fields)
    return ColdStartQuestion(
        streamer_id=body.streamer_id,
        profile=profile,
        space=body.space,
        neighbours=body.neighbours,
        users=body.users,
        exclude_users=frozenset(body.exclude_users),
        min_score=body.min_score,
        user_filter=body.user_filter.domain(),
        min_interactions=body.min_interactions,
        deadline_ms=body.deadline_ms,
        after_sequence=body.after_sequence,
    )


def out_of(
    answer: ColdStartAnswer, model_version: str, begin: float, *, may_see: bool
) -> ColdStartOut:
    """The answer as it is sent; the vector only to who may see it."""
    found = answer.id_embedding
    return ColdStartOut(
        neighbours=[NeighbourOut.model_validate(n) for n in answer.neighbours],
        users=_users(answer),
        users_unavailable_because=answer.no_users_because,
        unknown_user_fields=list(answer.unknown_user_fields),
        id_embedding=None
        if found is None
        else IdEmbeddingOut(
            space=found.space,
            generation=found.generation,
            age_s=found.age_s,
            vector=found.vector.tolist() if may_see else None,
            source=found.source,
            method=found.method,
            confidence=found.confidence,
            confidence_withheld_because=found.withheld_because,
        ),
        id_embedding_unavailable_because=None if may_see else _UNSEEN,
        fallback=FallbackOut.model_validate(
            {"used": answer.fallback_reason is not None, "reason": answer.fallback_reason}
        ),
        modalities=answer.modalities,
        coverage=answer.coverage,
        complete=answer.incomplete_because is None,
        incomplete_because=answer.incomplete_because,
        missing=list(answer.missing),
        took_ms=round((time.perf_counter() - begin) * 1000, 3),
        model_version=model_version,
        index_sequence=answer.index_sequence,
    )


def _users(answer: ColdStartAnswer) -> list[UserOut] | None:
    if answer.users is None:
        return None
    return [UserOut.model_construct(user_id=u.user_id, score=u.score) for u in answer.users]
