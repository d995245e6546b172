"""`similar`, `cold-start`, `dedup`: the questions."""

import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic_core import to_json

from model_export.contract.streamer import StreamerContent, StreamerProfile
from service.errors import FieldError, InvalidRequest
from service.features.cold_start.schemas import (
    ColdStartIn,
    ColdStartOut,
    FallbackOut,
    IdEmbeddingOut,
    NeighbourOut,
)
from service.features.dedup.schemas import DedupClustersOut, DedupFeedOut, DedupIn
from service.features.dedup.service import DedupAnswer, FeedAnswer
from service.features.similar.schemas import (
    ExportIn,
    HitOut,
    SeedsIn,
    SimilarIn,
    SimilarOut,
    ThresholdOut,
)
from service.features.similar.seeds import Seed
from service.features.similar.service import SimilarAnswer, SimilarQuery
from service.features.streamers.bulk import NDJSON
from service.http.dependencies import CurrentState, State, StreamerIdPath

router = APIRouter(prefix="/v1")
_EXPORTED_AT_ONCE = 1000


def _similar_out(state: State, answer: SimilarAnswer, begin: float) -> SimilarOut:
    return SimilarOut.model_construct(
        hits=[HitOut.model_validate(hit) for hit in answer.hits],
        threshold=answer.threshold and ThresholdOut.model_validate(answer.threshold),
        complete=answer.incomplete_because is None,
        incomplete_because=answer.incomplete_because,
        exact=answer.exact,
        model_version=state.model_version,
        index_sequence=answer.index_sequence,
        reached=answer.reached,
        next_cursor=answer.next_cursor,
        warnings=tuple(answer.warnings),
        took_ms=round((time.perf_counter() - begin) * 1000, 3),
    )


def _check_at_most(value: int, limit: int, name: str, *, parameter: bool = False) -> None:
    if value > limit:
        detail = f"may be at most {limit}; it is {value}"
        error = FieldError("", detail, name) if parameter else FieldError(f"/{name}", detail)
        raise InvalidRequest(f"{name} {detail}", [error])


def _check_k(state: State, k: int, explain: bool, *, parameter: bool = False) -> None:
    _check_at_most(k, state.limits.max_k, "k", parameter=parameter)
    most = state.limits.max_explained
    if explain and k > most:
        detail = f"may be at most {most} with explain (max_explained); it is {k}"
        error = FieldError("", detail, "k") if parameter else FieldError("/k", detail)
        raise InvalidRequest(f"k {detail}", [error])


@router.get(
    "/streamers/{streamer_id}/similar", tags=["similar"], summary="Streamers similar to one"
)
async def similar_to_one(
    state: CurrentState,
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
    _check_k(state, k, explain, parameter=True)
    if min_score is not None and min_precision is not None:
        detail = "can't be given with min_score; give one of them"
        raise InvalidRequest(
            f"min_precision {detail}", [FieldError("", detail, parameter="min_precision")]
        )
    answer = await state.similar.search(
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
    return _similar_out(state, answer, begin)


@router.post("/similar", tags=["similar"], summary="Streamers similar to seeds")
async def similar_to_seeds(state: CurrentState, body: SimilarIn) -> SimilarOut:
    """Stored streamers, profiles or vectors as seeds, wanted and unwanted, with a filter."""
    begin = time.perf_counter()
    _check_k(state, body.k, body.explain)
    query = replace(_query(state, body), k=body.k, explain=body.explain, exact=body.exact)
    ask = state.similar.search_all if body.pages else state.similar.search
    return _similar_out(state, await ask(query), begin)


def _query(state: State, body: SeedsIn) -> SimilarQuery:
    for name, seeds in (("positive", body.positive), ("negative", body.negative)):
        if len(seeds) > state.limits.max_seeds:
            raise InvalidRequest.of(
                f"/{name}", f"may have {state.limits.max_seeds} seeds, it has {len(seeds)}"
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
    tags=["similar"],
    summary="Everyone who reaches a score",
    response_class=StreamingResponse,
    responses={200: {"content": {NDJSON: {}}, "description": "One streamer a line, best first."}},
)
async def export_similar(state: CurrentState, body: ExportIn) -> StreamingResponse:
    """NDJSON, as of the moment of the question; the last line says how many there are.

    Without that line, with `reached`, the answer was cut on its way.
    """
    parts = await state.similar.export(replace(_query(state, body), k=_EXPORTED_AT_ONCE))
    return StreamingResponse(_lines(state, parts), media_type=NDJSON)


async def _lines(state: State, parts: AsyncIterator[SimilarAnswer]) -> AsyncGenerator[bytes, None]:
    last: SimilarAnswer | None = None
    async for last in parts:
        yield b"".join(
            _line(
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
        yield _line(
            {
                "reached": last.reached,
                "threshold": last.threshold,
                "complete": last.incomplete_because is None,
                "incomplete_because": last.incomplete_because,
                "model_version": state.model_version,
                "index_sequence": last.index_sequence,
                "warnings": last.warnings,
            }
        )


def _line(value: dict[str, object]) -> bytes:
    return to_json(value) + b"\n"


@router.get("/similar", tags=["similar"], summary="The next page of an answer")
async def next_similar(
    state: CurrentState,
    cursor: Annotated[str, Query(max_length=64, description="next_cursor of the page before")],
) -> SimilarOut:
    """As it was when it was asked for, without those who were deleted since."""
    begin = time.perf_counter()
    return _similar_out(state, await state.similar.next_page(cursor), begin)


@router.post("/cold-start", tags=["cold start"], summary="Place a new streamer")
async def cold_start(state: CurrentState, body: ColdStartIn) -> ColdStartOut:
    """The nearest established streamers and a vector in the recommender's own ID space."""
    _check_at_most(body.neighbours, state.limits.max_k, "neighbours")
    profile = None
    if body.profile is not None:
        # No stored id has a blank: it can't exclude anyone from its own neighbours.
        fields = {name: getattr(body.profile, name) for name in StreamerContent.model_fields}
        profile = StreamerProfile.model_construct(streamer_id=" ", **fields)
    answer = await state.cold_start.answer(
        streamer_id=body.streamer_id,
        profile=profile,
        space=body.space,
        neighbours=body.neighbours,
        after_sequence=body.after_sequence,
    )
    predicted = answer.id_embedding
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
        fallback=FallbackOut.model_validate(
            {"used": answer.fallback_reason is not None, "reason": answer.fallback_reason}
        ),
        modalities=answer.modalities,
        complete=answer.incomplete_because is None,
        incomplete_because=answer.incomplete_because,
        model_version=state.model_version,
        index_sequence=answer.index_sequence,
    )


@router.post("/dedup", tags=["dedup"], summary="Near-duplicates of a list, or the list spread out")
async def dedup(state: CurrentState, body: DedupIn) -> DedupClustersOut | DedupFeedOut:
    """`clusters`: who shows the same. `feed`: the same list with those kept apart (打散)."""
    name = "profiles" if body.ids is None else "ids"
    items = body.ids or body.profiles or []
    if len(items) > state.limits.max_dedup_items:
        raise InvalidRequest.of(
            f"/{name}", f"may have {state.limits.max_dedup_items} items, it has {len(items)}"
        )
    if body.mode == "clusters":
        answer = await state.dedup.clusters(
            ids=body.ids or (),
            profiles=body.profiles or (),
            threshold=body.threshold,
            min_precision=body.min_precision,
            pictures=body.pictures,
            after_sequence=body.after_sequence,
        )
        return DedupClustersOut.model_validate(_fields(state, answer))
    feed = await state.dedup.feed(
        ids=body.ids or (),
        profiles=body.profiles or (),
        threshold=body.threshold,
        min_precision=body.min_precision,
        pictures=body.pictures,
        window=body.window,
        max_per_cluster=body.max_per_cluster,
        after_sequence=body.after_sequence,
    )
    return DedupFeedOut.model_validate(_fields(state, feed))


def _fields(state: State, answer: DedupAnswer | FeedAnswer) -> dict[str, object]:
    return {
        **vars(answer),
        "complete": answer.incomplete_because is None,
        "model_version": state.model_version,
    }
