"""`/v1/similar`: streamers similar to seeds, page by page, or all that reach a score."""

import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from service.errors import FieldError, InvalidRequest
from service.features.similar.schemas import (
    ExportIn,
    HitOut,
    SeedsIn,
    SimilarIn,
    SimilarOut,
    ThresholdOut,
)
from service.features.similar.seeds import Seed
from service.features.similar.service import Similar, SimilarAnswer, SimilarQuery
from service.http.caps import check_at_most
from service.http.dependencies import CurrentLimits, StreamerIdPath, service_named
from service.http.ndjson import NDJSON, line_of
from service.settings import Limits

router = APIRouter(prefix="/v1")
CurrentSimilar = Annotated[Similar, Depends(service_named("similar", Similar))]
_EXPORTED_AT_ONCE = 1000


def _similar_out(similar: Similar, answer: SimilarAnswer, begin: float) -> SimilarOut:
    return SimilarOut.model_construct(
        hits=[HitOut.model_validate(hit) for hit in answer.hits],
        threshold=answer.threshold and ThresholdOut.model_validate(answer.threshold),
        complete=answer.incomplete_because is None,
        incomplete_because=answer.incomplete_because,
        exact=answer.exact,
        model_version=similar.model_version,
        index_sequence=answer.index_sequence,
        reached=answer.reached,
        next_cursor=answer.next_cursor,
        warnings=tuple(answer.warnings),
        took_ms=round((time.perf_counter() - begin) * 1000, 3),
    )


def _check_k(limits: Limits, k: int, explain: bool, *, parameter: bool = False) -> None:
    check_at_most(k, limits.max_k, "k", parameter=parameter)
    most = limits.max_explained
    if explain and k > most:
        detail = f"may be at most {most} with explain (max_explained); it is {k}"
        error = FieldError("", detail, "k") if parameter else FieldError("/k", detail)
        raise InvalidRequest(f"k {detail}", [error])


@router.get("/streamers/{streamer_id}/similar", summary="Streamers similar to one")
async def similar_to_one(
    similar: CurrentSimilar,
    limits: CurrentLimits,
    streamer_id: StreamerIdPath,
    k: Annotated[int, Query(ge=1)] = 10,
    min_score: Annotated[float | None, Query(ge=-1, le=1)] = None,
    min_precision: Annotated[
        float | None, Query(gt=0, le=1, description="Instead of min_score; see POST /v1/similar.")
    ] = None,
    explain: Annotated[
        bool, Query(description="Give reasons for each hit; see POST /v1/similar.")
    ] = False,
    exact: Annotated[bool, Query(description="Look at every streamer.")] = False,
    after_sequence: Annotated[int, Query(ge=0, le=2**53)] = 0,
) -> SimilarOut:
    """The nearest streamers, the streamer itself left out."""
    begin = time.perf_counter()
    _check_k(limits, k, explain, parameter=True)
    if min_score is not None and min_precision is not None:
        detail = "can't be given with min_score; give one of them"
        raise InvalidRequest(
            f"min_precision {detail}", [FieldError("", detail, parameter="min_precision")]
        )
    answer = await similar.search(
        SimilarQuery(
            positive=[Seed(streamer_id=streamer_id)],
            k=k,
            min_score=min_score,
            min_precision=min_precision,
            explain=explain,
            exact=exact,
            after_sequence=after_sequence,
        )
    )
    return _similar_out(similar, answer, begin)


@router.post("/similar", summary="Streamers similar to seeds")
async def similar_to_seeds(
    similar: CurrentSimilar, limits: CurrentLimits, body: SimilarIn
) -> SimilarOut:
    """Stored streamers, profiles or vectors as seeds, wanted and unwanted, with a filter."""
    begin = time.perf_counter()
    _check_k(limits, body.k, body.explain)
    query = replace(_query(limits, body), k=body.k, explain=body.explain, exact=body.exact)
    ask = similar.search_all if body.pages else similar.search
    return _similar_out(similar, await ask(query), begin)


def _query(limits: Limits, body: SeedsIn) -> SimilarQuery:
    for name, seeds in (("positive", body.positive), ("negative", body.negative)):
        if len(seeds) > limits.max_seeds:
            raise InvalidRequest.of(
                f"/{name}", f"may have {limits.max_seeds} seeds, it has {len(seeds)}"
            )
    return SimilarQuery(
        positive=[seed.domain() for seed in body.positive],
        negative=[seed.domain() for seed in body.negative],
        strategy=body.strategy,
        min_score=body.min_score,
        min_precision=body.min_precision,
        filter=body.filter.domain(),
        after_sequence=body.after_sequence,
    )


@router.post(
    "/similar/export",
    summary="Everyone who reaches a score",
    response_class=StreamingResponse,
    responses={200: {"content": {NDJSON: {}}, "description": "One streamer a line, best first."}},
)
async def export_similar(
    similar: CurrentSimilar, limits: CurrentLimits, body: ExportIn
) -> StreamingResponse:
    """NDJSON, as of the moment of the question; the last line says how many there are.

    Without that line, with `reached`, the answer was cut on its way.
    """
    parts = await similar.export(replace(_query(limits, body), k=_EXPORTED_AT_ONCE))
    return StreamingResponse(_lines(similar, parts), media_type=NDJSON)


async def _lines(
    similar: Similar, parts: AsyncIterator[SimilarAnswer]
) -> AsyncGenerator[bytes, None]:
    last: SimilarAnswer | None = None
    async for last in parts:
        yield b"".join(
            line_of(
                {
                    "streamer_id": hit.streamer_id,
                    "score": hit.score,
                    "precision": hit.precision,
                    "rank": hit.rank,
                }
            )
            for hit in last.hits
        )
    if last is not None:
        yield line_of(
            {
                "reached": last.reached,
                "threshold": last.threshold,
                "complete": last.incomplete_because is None,
                "incomplete_because": last.incomplete_because,
                "model_version": similar.model_version,
                "index_sequence": last.index_sequence,
                "warnings": last.warnings,
            }
        )


@router.get("/similar", summary="The next page of an answer")
async def next_similar(
    similar: CurrentSimilar,
    cursor: Annotated[str, Query(max_length=64, description="next_cursor of the page before")],
) -> SimilarOut:
    """A page of an answer as of the question, without streamers that were deleted since."""
    begin = time.perf_counter()
    return _similar_out(similar, await similar.next_page(cursor), begin)
