"""`/v1/lists:preview` and `/v1/lists`: lists of questions, and saved ones."""

import time
from typing import Annotated

from fastapi import Path, Query, Response

from service.engine.work.lanes import Lane
from service.errors import (
    IdempotencyKeyReused,
    InvalidRequest,
    ListConflict,
    ListNotFound,
    NoSuchPath,
    PrecisionNotPromised,
    StoreFull,
    StreamerNotFound,
    TooManyJobs,
    TooManyRecords,
)
from service.features.jobs.accepting import CurrentLongRequests
from service.features.lists.answering import (
    ANSWERS,
    KEPT,
    CurrentAsker,
    CurrentLists,
    FormatParameter,
    answer_kept,
    answer_later,
    answer_now,
    charge,
    is_long,
)
from service.features.lists.answers import (
    ListDeletedOut,
    ListDetailOut,
    ListOut,
    ListPage,
    ListQuestionOut,
    RunDetailOut,
    RunOut,
)
from service.features.lists.saved import SavedList, kept_form
from service.features.lists.schemas import (
    EXAMPLE_NAME,
    NAME_PATTERN,
    ListIn,
    ListQuestionIn,
    RunIn,
)
from service.features.lists.service import question_of, seeds_of
from service.features.similar.exporting import check_seeds
from service.http.auth.audit import CurrentAudit, RequestAudit
from service.http.auth.callers import Caller, CurrentCaller
from service.http.auth.rate_limits import CurrentCharges, hits_units
from service.http.auth.route_scopes import requires
from service.http.dependencies import CheckedRouter, CurrentLanes, CurrentLimits
from service.http.documents import BODY, INDEX, MEDIA, STORE, responses
from service.http.headers.cursors import Cursor, cursor_of, place_of
from service.http.headers.etag import ETAG, ExpectedVersions
from service.http.headers.idempotency import OnceByKey
from service.http.headers.prefer import PrefersAsync
from service.http.json_bodies import JsonRoute
from service.http.openapi import OPERATIONS
from service.http.problems import Checked

router = CheckedRouter(route_class=JsonRoute, prefix="/v1", tags=[OPERATIONS])
ListNamePath = Annotated[
    str,
    Path(
        pattern=NAME_PATTERN,
        description="1 to 64 of A-Z a-z 0-9 . _ - and no sign at the beginning.",
        openapi_examples={"a list": {"value": EXAMPLE_NAME}},
    ),
]
_LISTING = "lists"
_MAKING = (
    *(*BODY, *INDEX, *MEDIA, *STORE, StoreFull, StreamerNotFound, PrecisionNotPromised),
    *(ListNotFound, IdempotencyKeyReused, TooManyJobs),
)
_RUN_BY_DEFAULT = RunIn()


_UNSEEN = "a vector is personal data: the key lacks the scope embeddings:read"


def _fields(saved: SavedList, caller: Caller, audit: RequestAudit) -> dict[str, object]:
    """Those of a list as its answers tell them, with vectors only to who may see them."""
    question, because = ListQuestionOut.model_validate(saved.question), None
    if question.shows_vectors:
        audit.about(has_vectors=True)
    if question.has_vectors and "embeddings:read" in caller.scopes:
        audit.about(has_vectors=True)
    elif question.has_vectors:
        question, because = question.without_vectors(), _UNSEEN
    return {**vars(saved), "question": question, "vectors_unavailable_because": because}


@router.post(
    "/lists:preview",
    operation_id="preview_list",
    summary="Make a list, of which nothing is kept",
    dependencies=[requires("search")],
    responses=responses(*_MAKING) | ANSWERS,
)
async def preview_list(
    lists: CurrentLists,
    lanes: CurrentLanes,
    caller: CurrentCaller,
    asker: CurrentAsker,
    charges: CurrentCharges,
    limits: CurrentLimits,
    audit: CurrentAudit,
    body: Checked[ListQuestionIn],
    later: CurrentLongRequests,
    prefers_async: PrefersAsync,
    once: OnceByKey,
    form: FormatParameter = "json",
) -> Response:
    """Every streamer is looked at, so nobody who is nearer is missing.

    More than 1000 rows (STREAMER_LIMITS__MAX_K), and full reasons of more than 50
    (STREAMER_LIMITS__MAX_EXPLAINED), are made by a job, as is anything with
    `Prefer: respond-async`: 202, and `GET /v1/jobs/{job_id}/result` gives the file, for keys that
    have the scope `streamers:read` too. Idempotency-Key counts for jobs alone.
    """
    charge(charges, caller, body)
    is_job = prefers_async or is_long(limits, body)
    audit.about(seeds_of(body), is_export=is_job or form != "json")
    if is_job:
        check_seeds(limits, body)
        await lanes.run(lambda: kept_form(body), Lane.HEAVY)
        await lists.check(body)
        return await answer_later(later, caller, asker, form, once, body)
    answer, built = await answer_now(lambda: lists.preview(body, asker), form, lanes, "list")
    audit.about(results=len(built.rows))
    return answer


@router.get(
    "/lists",
    operation_id="list_lists",
    summary="List saved lists, in pages",
    dependencies=[requires("search")],
    responses=responses(*STORE),
)
async def list_lists(
    lists: CurrentLists,
    charges: CurrentCharges,
    caller: CurrentCaller,
    audit: CurrentAudit,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=20, description="Most lists on a page.")] = 20,
) -> ListPage:
    """In order of their names, without their runs; vectors need the scope `embeddings:read`."""
    charges.reach("search", hits_units(limit))
    found, following = await lists.saved.page(place_of(cursor, _LISTING), limit)
    return ListPage(
        lists=[ListOut.model_validate(_fields(saved, caller, audit)) for saved in found],
        next_cursor=cursor_of(following, _LISTING),
    )


@router.put(
    "/lists/{list_name:name}",
    operation_id="save_list",
    summary="Save a list",
    dependencies=[requires("search")],
    responses=responses(*BODY, *STORE, NoSuchPath, StoreFull, ListConflict, TooManyRecords)
    | {
        200: {"headers": ETAG},
        201: {"model": ListOut, "description": "There was none of this name.", "headers": ETAG},
    },
)
async def save_list(
    lists: CurrentLists,
    lanes: CurrentLanes,
    limits: CurrentLimits,
    caller: CurrentCaller,
    audit: CurrentAudit,
    list_name: ListNamePath,
    body: Checked[ListIn],
    expected: ExpectedVersions,
    response: Response,
) -> ListOut:
    """Its question in place of the one before; runs stay. Seeds are looked up when it is run."""
    check_seeds(limits, body.question, "/question")
    question = await lanes.run(lambda: kept_form(body.question, "/question"), Lane.HEAVY)
    if body.question.exclude.held_by == list_name:
        detail = "is this list itself, of which every second run would be the one before again"
        raise InvalidRequest.of("/question/exclude/list", f"{detail}: run it with new_only")
    audit.about(seeds_of(body.question))
    saved, is_new = await lists.saved.put(list_name, body.title, question, caller.key, expected)
    response.status_code = 201 if is_new else 200
    response.headers["ETag"] = f'"{saved.revision}"'
    return ListOut.model_validate(_fields(saved, caller, audit))


@router.get(
    "/lists/{list_name:name}",
    operation_id="get_list",
    summary="Get a saved list and its runs",
    dependencies=[requires("search")],
    responses=responses(*STORE, ListNotFound) | {200: {"headers": ETAG}},
)
async def get_list(
    lists: CurrentLists,
    caller: CurrentCaller,
    audit: CurrentAudit,
    list_name: ListNamePath,
    response: Response,
) -> ListDetailOut:
    """Its question, and its last ten runs without whom they held.

    A seed that is a vector has null for it, unless the key has the scope `embeddings:read`.
    """
    saved = await lists.saved.get(list_name)
    response.headers["ETag"] = f'"{saved.revision}"'
    runs = [RunOut.model_validate(run) for run in await lists.saved.runs(saved)]
    return ListDetailOut.model_validate({**_fields(saved, caller, audit), "runs": runs})


@router.delete(
    "/lists/{list_name:name}",
    operation_id="delete_list",
    summary="Delete a saved list and its runs",
    dependencies=[requires("search")],
    responses=responses(*STORE, StoreFull, ListNotFound, ListConflict),
)
async def delete_list(
    lists: CurrentLists, list_name: ListNamePath, expected: ExpectedVersions
) -> ListDeletedOut:
    """A list that is saved under its name later begins without runs."""
    await lists.saved.delete(list_name, expected)
    return ListDeletedOut(name=list_name)


@router.get(
    "/lists/{list_name:name}/runs/{run}",
    operation_id="get_list_run",
    summary="Get whom a run of a saved list held, or the list that it told",
    dependencies=[requires("search")],
    responses=responses(*STORE, ListNotFound) | KEPT,
)
async def get_list_run(
    lists: CurrentLists,
    lanes: CurrentLanes,
    caller: CurrentCaller,
    charges: CurrentCharges,
    limits: CurrentLimits,
    audit: CurrentAudit,
    list_name: ListNamePath,
    run: Annotated[int, Path(ge=1, le=2**53, openapi_examples={"the first": {"value": 1}})],
    form: FormatParameter = "json",
    new_only: Annotated[
        bool, Query(description="Only rows that the run before did not have.")
    ] = False,
) -> Response:
    """The last ten runs are kept. JSON tells whom it held, by rank.

    Other formats give the list again as it was told, of everybody whom the run holds, whether it
    told them or only who was new; `reasons` are not kept, and who was erased since is not on it.
    Reasons in words need the scope `explain`. Of a run that an earlier release kept, and of one
    whose rows have more than 2 MiB, all columns but `rank` and `streamer_id` are empty.
    """
    begin = time.perf_counter()
    audit.about(is_export=form != "json")
    saved = await lists.saved.get(list_name)
    found = await lists.saved.held(saved, run)
    assert found is not None  # a run that is named is there, or is not found
    made, ids = found
    charges.reach("search", hits_units(max(1, len(ids))))
    kept = None
    if form != "json" or new_only:
        kept = await lists.kept(saved, made, ids, new_only)
        told = {row.streamer_id for row in kept[0].rows}
        ids = [one for one in ids if one in told]
    audit.about(results=len(ids))
    if form == "json" or kept is None:
        detail = RunDetailOut.model_validate({**vars(made), "ids": ids})
        return Response(detail.model_dump_json(), media_type="application/json")
    if kept[0].question.explain is not None and not kept[0].is_bare:
        caller.require("explain")
    lane = Lane.BULK if len(ids) > limits.max_k else Lane.HEAVY
    return await answer_kept(kept, form, lanes, begin, lane)


@router.post(
    "/lists/{list_name}:run",
    operation_id="run_list",
    summary="Run a saved list",
    dependencies=[requires("search")],
    responses=responses(*_MAKING) | ANSWERS,
)
async def run_list(
    lists: CurrentLists,
    lanes: CurrentLanes,
    caller: CurrentCaller,
    asker: CurrentAsker,
    charges: CurrentCharges,
    limits: CurrentLimits,
    audit: CurrentAudit,
    list_name: ListNamePath,
    later: CurrentLongRequests,
    prefers_async: PrefersAsync,
    once: OnceByKey,
    body: Checked[RunIn] = _RUN_BY_DEFAULT,
    form: FormatParameter = "json",
) -> Response:
    """Answers like `/v1/lists:preview`; whom a run holds is kept, of the last ten.

    `is_new` of a row, and `new_only`, compare with the run before. Sent again with its own
    `X-Request-Id`, a request is the same run, and compared with the same one.
    """
    saved = await lists.saved.get(list_name)
    question = question_of(saved, body)
    charge(charges, caller, question)
    audit.about(seeds_of(question))
    if prefers_async or is_long(limits, question):
        await lists.check(question)
        return await answer_later(later, caller, asker, form, once, question, saved, body)
    answer, built = await answer_now(lambda: lists.run(saved, body, asker), form, lanes, list_name)
    audit.about(results=len(built.rows))
    return answer
