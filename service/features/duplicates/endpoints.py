"""`/v1/duplicates`: groups of near-duplicates over the whole corpus."""

from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Query, Response

from service.errors import GroupNotFound, IdempotencyKeyReused, StreamerNotFound, TooManyJobs
from service.features.duplicates.rebuild import KIND
from service.features.duplicates.schemas import (
    GROUP_PATTERN,
    EdgeOut,
    GroupDetailOut,
    GroupOut,
    GroupPage,
    StreamerDuplicatesOut,
    TieOut,
)
from service.features.duplicates.service import Duplicates, ShownGroup
from service.features.jobs.accepting import ACCEPTED, accepted
from service.features.jobs.schemas import QUEUED, JobOut
from service.http.auth.audit import CurrentAudit
from service.http.auth.callers import CurrentCaller
from service.http.auth.rate_limits import ALL_UNITS, CurrentCharges, hits_units
from service.http.auth.route_scopes import requires
from service.http.dependencies import CheckedRouter, CurrentLanes, StreamerIdPath, service_named
from service.http.documents import STORE, responses
from service.http.headers.cursors import Cursor, cursor_of, place_of
from service.http.headers.idempotency import OnceByKey
from service.http.headers.prefer import PrefersAsync
from service.http.json_bodies import json_answer
from service.http.openapi import ANTI_FRAUD
from service.http.schemas import with_nulls
from service.store.duplicates import GroupRecord

router = CheckedRouter(prefix="/v1", tags=[ANTI_FRAUD])
CurrentDuplicates = Annotated[Duplicates, Depends(service_named("duplicates", Duplicates))]
GroupIdPath = Annotated[
    str,
    Path(
        pattern=GROUP_PATTERN,
        description="Of a group, live or not; GET /v1/duplicates lists the live ones.",
    ),
]
_ACCEPTED: dict[str, Any] = ACCEPTED | {
    "content": {"application/json": {"example": with_nulls(QUEUED | {"kind": KIND})}}
}


def _fields(record: GroupRecord) -> dict[str, object]:
    return {**vars(record), "representative": record.representative or None}


@router.get(
    "/duplicates",
    operation_id="list_duplicates",
    summary="List groups of duplicates, in pages",
    dependencies=[requires("duplicates")],
    responses=responses(*STORE),
)
async def list_duplicates(
    duplicates: CurrentDuplicates,
    charges: CurrentCharges,
    audit: CurrentAudit,
    order: Annotated[
        Literal["size", "newest"],
        Query(description="The largest first, or those that changed last."),
    ] = "size",
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most groups on a page.")] = 100,
) -> GroupPage:
    """Groups of two or more, over all streamers.

    A group is what hangs together by evidence and by judgements, cut where a judgement forbids it
    and where two parts hang together by one weak edge alone. A group that changes while it is being
    listed may come twice or not at all.
    """
    charges.reach("duplicates", hits_units(limit))
    sequence = await duplicates.sequence()  # first: the groups may be newer, never older
    found, following = await duplicates.page(order, place_of(cursor, order), limit)
    audit.about(results=len(found))
    return GroupPage(
        groups=[GroupOut.model_validate(_fields(record)) for record in found],
        next_cursor=cursor_of(following, order),
        evaluated_sequence=sequence,
    )


@router.get(
    "/duplicates/{group_id:name}",
    operation_id="get_duplicates",
    summary="Get a group of duplicates",
    dependencies=[requires("duplicates")],
    response_model=GroupDetailOut,
    responses=responses(*STORE, GroupNotFound),
)
async def get_duplicates(
    duplicates: CurrentDuplicates,
    lanes: CurrentLanes,
    charges: CurrentCharges,
    audit: CurrentAudit,
    group_id: GroupIdPath,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most members on a page.")] = 100,
) -> Response:
    """Members in pages, with their edges. A group that is no more names its successors."""
    charges.reach("duplicates", hits_units(limit))
    found = await duplicates.get(group_id, place_of(cursor, group_id), limit)
    audit.about(found.members, len(found.members))
    items = len(found.members) + len(found.edges)
    return await json_answer(lambda: _detail_out(found), items, lanes)


def _detail_out(found: ShownGroup) -> GroupDetailOut:
    """A group as it is answered; each edge is a step of its own, so that others run in between."""
    return GroupDetailOut(
        **GroupOut.model_validate(_fields(found.record)).model_dump(),
        successors=list(found.successors),
        members=list(found.members),
        edges=[EdgeOut.model_validate(vars(edge)) for edge in found.edges],
        next_cursor=cursor_of(found.next_after, found.record.group_id),
    )


@router.get(
    "/streamers/{streamer_id}/duplicates",
    operation_id="get_streamer_duplicates",
    summary="Get the duplicates of a streamer",
    dependencies=[requires("duplicates")],
    response_model=StreamerDuplicatesOut,
    responses=responses(*STORE, StreamerNotFound),
)
async def get_streamer_duplicates(
    duplicates: CurrentDuplicates,
    lanes: CurrentLanes,
    charges: CurrentCharges,
    audit: CurrentAudit,
    streamer_id: StreamerIdPath,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most duplicates.")] = 100,
) -> Response:
    """Its group, and whom evidence takes for duplicates of it, in the group or not."""
    charges.reach("duplicates", hits_units(limit))
    sequence = await duplicates.sequence()  # as above
    group, ties = await duplicates.of(streamer_id, limit)
    audit.about((tie.streamer_id for tie in ties), len(ties))

    def made() -> StreamerDuplicatesOut:
        return StreamerDuplicatesOut(
            streamer_id=streamer_id,
            group=None if group is None else GroupOut.model_validate(_fields(group)),
            duplicates=[TieOut.model_validate(tie) for tie in ties],
            evaluated_sequence=sequence,
        )

    return await json_answer(made, len(ties), lanes)


@router.post(
    "/duplicates:rebuild",
    operation_id="rebuild_duplicates",
    summary="Compare all streamers anew",
    status_code=202,
    dependencies=[requires("duplicates")],
    responses={**responses(*STORE, IdempotencyKeyReused, TooManyJobs), 202: _ACCEPTED},
)
async def rebuild_duplicates(
    duplicates: CurrentDuplicates,
    caller: CurrentCaller,
    charges: CurrentCharges,
    response: Response,
    prefers_async: PrefersAsync,
    once: OnceByKey,
) -> JobOut:
    """Queues a job. The groups so far are answered until it is done; ids and judgements stay.

    Groups are kept up to date by themselves: it is for when the evidence is another one.
    """
    charges.reach("duplicates", ALL_UNITS)
    return accepted(
        await duplicates.rebuild(once, caller.key), response, is_preferred=prefers_async
    )
