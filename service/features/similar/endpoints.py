"""`/v1/similar`: streamers similar to seeds, in one answer, in pages, or as an export."""

import time
from collections.abc import Awaitable, Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated

from fastapi import Depends, Header, Query, Request, Response

from service.errors import (
    CursorExpired,
    FieldError,
    IdempotencyKeyReused,
    InvalidRequest,
    NoSuchPath,
    PrecisionNotPromised,
    RequestError,
    StreamerNotFound,
    TooManyJobs,
)
from service.features.jobs.accepting import DEFERRED, CurrentLongRequests, deferred
from service.features.similar.asking import SimilarQuery
from service.features.similar.examples import EXPORT_ANSWER
from service.features.similar.exporting import EXPORTED_AT_ONCE, KIND, lines_of, query_of
from service.features.similar.live import LiveQuestions, answered
from service.features.similar.schemas import (
    ExportIn,
    ExportLineOut,
    ExportSummaryOut,
    HitOut,
    SeedsIn,
    SimilarIn,
    SimilarOut,
    ThresholdOut,
)
from service.features.similar.seeds import Seed
from service.features.similar.service import Similar, SimilarAnswer
from service.http.auth.audit import CurrentAudit
from service.http.auth.callers import Caller, CurrentCaller
from service.http.auth.rate_limits import (
    ALL_UNITS,
    CurrentCharges,
    hits_units,
    inputs_units,
)
from service.http.auth.route_scopes import requires
from service.http.dependencies import (
    CheckedRouter,
    CurrentLimits,
    StreamerIdPath,
    check_at_most,
    service_named,
)
from service.http.documents import BODY, INDEX, MEDIA, STORE, responses
from service.http.headers.idempotency import OnceByKey
from service.http.headers.prefer import PrefersAsync
from service.http.json_bodies import JsonRoute
from service.http.ndjson import NdjsonResponse, documented_lines
from service.http.openapi import OPERATIONS
from service.http.problems import Checked
from service.http.schemas import AfterSequence, has_more_bytes
from service.settings import Limits

router = CheckedRouter(route_class=JsonRoute, prefix="/v1", tags=[OPERATIONS])
CurrentSimilar = Annotated[Similar, Depends(service_named("similar", Similar))]
CurrentLive = Annotated[LiveQuestions, Depends(service_named("live", LiveQuestions))]
_DEFERRED_BYTES = 64 << 10
"""Of a question that becomes a job: the store keeps it for as long as the job."""
_EXACT_UNITS = 10
"""Of a rate limit, beside the rest, for looking at every streamer."""
_PARAMETERS = {"/positive/0/streamer_id": "streamer_id", "/min_precision": "min_precision"}
"""What the route without a body calls the fields of a question."""


async def _names_caller(
    x_client_id: Annotated[
        str | None,
        Header(
            alias="X-Client-Id",
            max_length=1024,
            description="Who asks, such as a user or a device; decides who is answered by the "
            "canary, by default the key does.",
        ),
    ] = None,
) -> None:
    """Documents the header; `LiveQuestions.canary_for` reads it."""


def _similar_out(similar: Similar, answer: SimilarAnswer, begin: float) -> SimilarOut:
    return SimilarOut.model_construct(
        hits=[HitOut.model_validate(hit) for hit in answer.hits],
        threshold=answer.threshold and ThresholdOut.model_validate(answer.threshold),
        complete=answer.incomplete_because is None,
        incomplete_because=answer.incomplete_because,
        exact=answer.exact,
        model_version=answer.model_version or similar.model_version,
        index_sequence=answer.index_sequence,
        reached=answer.reached,
        next_cursor=answer.next_cursor,
        warnings=tuple(answer.warnings),
        coverage=answer.coverage,
        took_ms=round((time.perf_counter() - begin) * 1000, 3),
    )


def _check_k(
    caller: Caller, limits: Limits, k: int, explain: bool, *, parameter: bool = False
) -> None:
    if explain:
        caller.require("explain")
    check_at_most(k, limits.max_k, "k", parameter=parameter)
    most = limits.max_explained
    if explain and k > most:
        detail = f"may be at most {most} with explain (STREAMER_LIMITS__MAX_EXPLAINED); it is {k}"
        if parameter:
            raise InvalidRequest.of_parameter("k", detail)
        raise InvalidRequest.of("/k", detail)


def _seeds_units(body: SeedsIn) -> int:
    """Of a rate limit, for the seeds beside the first and for the profiles among them."""
    seeds = [*body.positive, *body.negative]
    return inputs_units(len(seeds), sum(seed.profile is not None for seed in seeds))


@contextmanager
def _by_parameter() -> Generator[None, None, None]:
    """Errors name the parameter in place of a field of the body, which there is none of."""
    try:
        yield
    except RequestError as error:
        detail, fields = error.detail, list[FieldError]()
        for field in error.errors:
            name = _PARAMETERS.get(field.pointer, field.parameter)
            detail = detail.replace(f"{field.pointer}: ", f"{name}: ") if name else detail
            fields.append(FieldError(field.pointer, field.detail, name))
        raise type(error)(detail, fields) from error


@router.get(
    "/streamers/{streamer_id}/similar",
    operation_id="find_similar_to_streamer",
    summary="Find streamers similar to a stored one",
    dependencies=[requires("search"), Depends(_names_caller)],
    responses=responses(*INDEX, NoSuchPath, StreamerNotFound, PrecisionNotPromised),
)
async def similar_to_one(
    request: Request,
    similar: CurrentSimilar,
    live: CurrentLive,
    caller: CurrentCaller,
    charges: CurrentCharges,
    limits: CurrentLimits,
    audit: CurrentAudit,
    streamer_id: StreamerIdPath,
    k: Annotated[int, Query(ge=1, description="Most hits.")] = 10,
    min_score: Annotated[
        float | None,
        Query(ge=-1, le=1, description="Only hits with this score or more; see POST /v1/similar."),
    ] = None,
    min_precision: Annotated[
        float | None, Query(gt=0, le=1, description="Instead of min_score; see POST /v1/similar.")
    ] = None,
    explain: Annotated[
        bool,
        Query(
            description="Give reasons for each hit; a larger k than 50 "
            "(STREAMER_LIMITS__MAX_EXPLAINED) is refused. Needs the scope explain too. See POST "
            "/v1/similar."
        ),
    ] = False,
    exact: Annotated[bool, Query(description="Scan every streamer.")] = False,
    after_sequence: Annotated[AfterSequence, Query()] = 0,
) -> SimilarOut:
    """The nearest streamers, without the streamer itself."""
    begin = time.perf_counter()
    _check_k(caller, limits, k, explain, parameter=True)
    if min_score is not None and min_precision is not None:
        raise InvalidRequest.of_parameter(
            "min_precision", "cannot be given with min_score; give one of them"
        )
    charges.reach("search", hits_units(k) + exact * _EXACT_UNITS)
    if explain:
        charges.reach("explain", k)
    query = SimilarQuery(
        positive=[Seed(streamer_id=streamer_id)],
        k=k,
        min_score=min_score,
        min_precision=min_precision,
        explain=explain,
        exact=exact,
        after_sequence=after_sequence,
    )
    with _by_parameter():
        by, answer = await answered(
            live, request.scope, similar, query, lambda model: model.search(query)
        )
    audit.about(results=len(answer.hits))
    return _similar_out(by, answer, begin)


@router.post(
    "/similar",
    operation_id="find_similar",
    summary="Find streamers similar to seeds",
    dependencies=[requires("search"), Depends(_names_caller)],
    responses=responses(*BODY, *INDEX, *MEDIA, StreamerNotFound, PrecisionNotPromised),
)
async def similar_to_seeds(
    request: Request,
    similar: CurrentSimilar,
    live: CurrentLive,
    caller: CurrentCaller,
    charges: CurrentCharges,
    limits: CurrentLimits,
    audit: CurrentAudit,
    body: Checked[SimilarIn],
) -> SimilarOut:
    """Seeds are stored streamers, profiles or vectors, positive and negative; with a filter."""
    begin = time.perf_counter()
    _check_k(caller, limits, body.k, body.explain)
    query = replace(query_of(limits, body), k=body.k, explain=body.explain, exact=body.exact)
    answer_units = ALL_UNITS if body.pages else hits_units(body.k) + body.exact * _EXACT_UNITS
    charges.reach("search", answer_units + _seeds_units(body))
    if body.explain:
        charges.reach("explain", body.k)
    audit.about(_seed_ids(query))

    def ask(model: Similar) -> Awaitable[SimilarAnswer]:
        return (model.search_all if body.pages else model.search)(query)

    by, answer = await answered(live, request.scope, similar, query, ask)
    audit.about(results=len(answer.hits))
    return _similar_out(by, answer, begin)


def _seed_ids(query: SimilarQuery) -> list[str]:
    seeds = (*query.positive, *query.negative)
    return [seed.streamer_id for seed in seeds if seed.streamer_id is not None]


@router.post(
    "/similar/export",
    operation_id="export_similar",
    summary="Export every streamer that reaches a score",
    dependencies=[requires("search")],
    response_class=NdjsonResponse,
    responses=responses(
        *(*BODY, *INDEX, *MEDIA, *STORE),
        *(StreamerNotFound, PrecisionNotPromised, IdempotencyKeyReused, TooManyJobs),
    )
    | DEFERRED
    | documented_lines(
        ExportLineOut | ExportSummaryOut,
        "NDJSON: one streamer per line, best first; the last line is a summary.",
        EXPORT_ANSWER,
    ),
)
async def export_similar(
    similar: CurrentSimilar,
    charges: CurrentCharges,
    limits: CurrentLimits,
    audit: CurrentAudit,
    caller: CurrentCaller,
    body: Checked[ExportIn],
    later: CurrentLongRequests,
    prefers_async: PrefersAsync,
    once: OnceByKey,
) -> Response:
    """NDJSON that shows the index as of the question.

    An export without its last line, the summary with `reached`, was cut off on its way. With
    `Prefer: respond-async` a job writes the lines to a file, which `GET /v1/jobs/{job_id}/result`
    gives, for keys that have the scope `streamers:read` too; questions of more than 64 KiB are
    answered at once all the same. Idempotency-Key counts for jobs alone.
    """
    query = replace(query_of(limits, body), k=EXPORTED_AT_ONCE)
    is_job = prefers_async and not has_more_bytes(body, _DEFERRED_BYTES)
    if is_job:
        caller.require("streamers:read")  # without it the key could not read what the job made
    charges.reach("search", ALL_UNITS + _seeds_units(body))
    audit.about(_seed_ids(query))
    if is_job:
        asked = body.model_dump(mode="json", exclude_unset=True)
        job = await later.answer_later(KIND, asked, caller.key, once, ["search"])
        return deferred(job)
    parts = await similar.export(query)
    return NdjsonResponse(lines_of(similar, parts, lambda hits: audit.about(results=hits)))


@router.get(
    "/similar",
    operation_id="get_similar_page",
    summary="Get the next page of an answer",
    dependencies=[requires("search")],
    responses=responses(CursorExpired, *INDEX),
)
async def next_similar(
    similar: CurrentSimilar,
    audit: CurrentAudit,
    cursor: Annotated[str, Query(max_length=64, description="next_cursor of the previous page.")],
) -> SimilarOut:
    """A page of an answer as of the question, without streamers that were deleted since."""
    begin = time.perf_counter()
    answer = await similar.next_page(cursor)
    audit.about(results=len(answer.hits))
    return _similar_out(similar, answer, begin)
