"""`/v1/outreach`: who was written to is recorded, listed and deleted."""

from typing import Annotated

from fastapi import Depends, Path, Query

from model_export.contract.streamer import ID_PATTERN
from service.errors import (
    IdempotencyKeyReused,
    OutreachNotFound,
    StoreFull,
    StreamerNotFound,
    TooManyRecords,
)
from service.features.outreach.schemas import (
    LATEST,
    OUTREACH_PATTERN,
    OutreachIn,
    OutreachOut,
    OutreachPage,
)
from service.features.outreach.service import Outreach
from service.http.auth.audit import CurrentAudit
from service.http.auth.callers import CurrentCaller
from service.http.auth.rate_limits import CurrentCharges, hits_units
from service.http.auth.route_scopes import requires
from service.http.dependencies import CheckedRouter, service_named
from service.http.documents import BODY, STORE, responses
from service.http.headers.cursors import Cursor, cursor_of, place_of
from service.http.headers.idempotency import OnceByKey
from service.http.json_bodies import JsonRoute
from service.http.openapi import OPERATIONS
from service.http.problems import Checked

router = CheckedRouter(route_class=JsonRoute, prefix="/v1", tags=[OPERATIONS])
CurrentOutreach = Annotated[Outreach, Depends(service_named("outreach", Outreach))]
_LISTING = "outreach"


@router.post(
    "/outreach",
    operation_id="record_outreach",
    summary="Record who was written to",
    status_code=201,
    dependencies=[requires("streamers:write")],
    responses=responses(
        *BODY, *STORE, StoreFull, StreamerNotFound, TooManyRecords, IdempotencyKeyReused
    ),
)
async def record_outreach(
    outreach: CurrentOutreach,
    caller: CurrentCaller,
    charges: CurrentCharges,
    audit: CurrentAudit,
    body: Checked[OutreachIn],
    once: OnceByKey,
) -> OutreachOut:
    """Lists leave them out by `exclude.outreach_since`; who recorded it comes from the key.

    All ids have to be stored; otherwise nothing is recorded, and `errors` names those that are not.
    Erasing a streamer takes it out of all records.
    """
    charges.reach("streamers:write", hits_units(len(body.ids)))
    audit.about(body.ids, len(body.ids), action="record outreach")
    who = caller.key_id, caller.name
    made = await outreach.record(body.ids, body.at, body.note, *who, once)
    return OutreachOut.model_validate(made)


@router.get(
    "/outreach",
    operation_id="list_outreach",
    summary="List who was written to, in pages",
    dependencies=[requires("streamers:read")],
    responses=responses(*STORE),
)
async def list_outreach(
    outreach: CurrentOutreach,
    charges: CurrentCharges,
    audit: CurrentAudit,
    streamer_id: Annotated[
        str | None,
        Query(
            pattern=ID_PATTERN,
            min_length=1,
            max_length=128,
            description="Records that have this streamer.",
            openapi_examples={"demo": {"value": "w0087"}},
        ),
    ] = None,
    since: Annotated[
        float | None,
        Query(ge=0, lt=LATEST, description="Written to then or later, in seconds since 1970."),
    ] = None,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Most records on a page.")] = 20,
) -> OutreachPage:
    """In the order in which they were recorded; each may have up to 10,000 ids."""
    charges.reach("streamers:read", hits_units(limit))
    if streamer_id is not None:
        audit.about([streamer_id])
    found, following = await outreach.page(place_of(cursor, _LISTING), limit, streamer_id, since)
    audit.about(results=sum(len(record.ids) for record in found))
    return OutreachPage(
        outreach=[OutreachOut.model_validate(record) for record in found],
        next_cursor=cursor_of(following, _LISTING),
    )


@router.delete(
    "/outreach/{outreach_id}",
    operation_id="delete_outreach",
    summary="Delete a record of outreach",
    dependencies=[requires("streamers:write")],
    responses=responses(*STORE, StoreFull, OutreachNotFound),
)
async def delete_outreach(
    outreach: CurrentOutreach,
    audit: CurrentAudit,
    outreach_id: Annotated[
        str,
        Path(
            pattern=OUTREACH_PATTERN,
            description="Of a record, as GET /v1/outreach lists it.",
        ),
    ],
) -> OutreachOut:
    """Whoever was only in this record is in lists again; the answer is what was recorded."""
    deleted = await outreach.delete(outreach_id)
    audit.about(deleted.ids, len(deleted.ids))
    return OutreachOut.model_validate(deleted)
