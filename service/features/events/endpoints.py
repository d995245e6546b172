"""`/v1/events`: what happened, in order."""

import json
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from service.errors import CursorExpired
from service.features.events.schemas import EventOut, EventPage
from service.features.events.service import Events
from service.http.auth.rate_limits import CurrentCharges, hits_units
from service.http.auth.route_scopes import requires
from service.http.dependencies import service_named
from service.http.documents import STORE, responses
from service.http.openapi import ANTI_FRAUD

router = APIRouter(prefix="/v1", tags=[ANTI_FRAUD])
CurrentEvents = Annotated[Events, Depends(service_named("events", Events))]


@router.get(
    "/events",
    operation_id="list_events",
    summary="Read the feed of events",
    dependencies=[requires("duplicates")],
    responses=responses(*STORE, CursorExpired),
)
async def list_events(
    events: CurrentEvents,
    charges: CurrentCharges,
    cursor: Annotated[
        str | None,
        Query(max_length=64, description="next_cursor of the page before; none = the oldest kept."),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most events on a page.")] = 100,
) -> EventPage:
    """Each event once and in order: keep `next_cursor`. The newest 100,000 are kept."""
    charges.reach("duplicates", hits_units(limit))
    found, following = await events.page(cursor, limit)
    return EventPage(
        events=[
            EventOut(event_id=e.event_id, kind=e.kind, at=e.at, data=json.loads(e.data))
            for e in found
        ],
        next_cursor=following,
    )
