"""`/v1/alerts`: who matched a watchlist, and what people made of it."""

from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Query, Response

from service.engine.work.lanes import Lane
from service.errors import AlertNotFound, CursorExpired, StoreFull, VersionConflict
from service.features.watchlists.alerts.schemas import (
    ALERT_PATTERN,
    AlertIn,
    AlertOut,
    AlertPage,
)
from service.features.watchlists.alerts.service import Alerts, ShownAlert
from service.features.watchlists.endpoints import ETAG
from service.features.watchlists.schemas import WATCHLIST_PATTERN
from service.http.auth.audit import CurrentAudit
from service.http.auth.callers import CurrentCaller
from service.http.auth.rate_limits import CurrentCharges, hits_units
from service.http.auth.route_scopes import requires
from service.http.dependencies import CheckedRouter, CurrentLanes, service_named
from service.http.documents import BODY, STORE, responses
from service.http.headers.cursors import Cursor, cursor_of, place_of
from service.http.headers.etag import ExpectedVersions
from service.http.json_bodies import JsonRoute
from service.http.openapi import ANTI_FRAUD
from service.http.problems import Checked

router = CheckedRouter(route_class=JsonRoute, prefix="/v1", tags=[ANTI_FRAUD])
CurrentAlerts = Annotated[Alerts, Depends(service_named("alerts", Alerts))]
AlertIdPath = Annotated[
    str,
    Path(
        pattern=ALERT_PATTERN,
        description="Of an alert, as GET /v1/alerts lists it.",
    ),
]


def _out(shown: ShownAlert) -> AlertOut:
    fields: dict[str, Any] = {
        **vars(shown.alert),
        "alert_id": shown.alert_id,
        "revision": shown.revision,
        "seed_id": shown.alert.seed_id or None,
    }
    return AlertOut.model_validate(fields)


@router.get(
    "/alerts",
    operation_id="list_alerts",
    summary="List alerts, in pages",
    dependencies=[requires("cases")],
    response_model=AlertPage,
    responses=responses(*STORE, CursorExpired),
)
async def list_alerts(
    alerts: CurrentAlerts,
    lanes: CurrentLanes,
    charges: CurrentCharges,
    audit: CurrentAudit,
    state: Annotated[
        Literal["open", "confirmed", "dismissed"] | None,
        Query(description="Those of one state; by default all."),
    ] = None,
    mode: Annotated[
        Literal["shadow", "on"], Query(description="shadow: those that are not delivered.")
    ] = "on",
    watchlist_id: Annotated[
        str | None, Query(pattern=WATCHLIST_PATTERN, description="Those of one watchlist.")
    ] = None,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most alerts on a page.")] = 100,
) -> Response:
    """In the order in which they were raised: keep `next_cursor`, and ask again for newer ones.

    A page of large ones has fewer than `limit`; `has_more` tells whether to ask at once.
    """
    charges.reach("cases", hits_units(limit))
    listing = f"alerts {mode} {state} {watchlist_id}"
    place = place_of(cursor, listing)
    found, following, has_more = await alerts.page(mode, state, watchlist_id, place, limit)
    audit.about((shown.alert.streamer_id for shown in found), len(found))

    def written() -> str:
        return AlertPage(
            alerts=[_out(shown) for shown in found],
            next_cursor=cursor_of(following, listing),
            has_more=has_more,
        ).model_dump_json()

    body = await lanes.run(written, Lane.HEAVY)
    return Response(body, media_type="application/json")


@router.get(
    "/alerts/{alert_id}",
    operation_id="get_alert",
    summary="Get an alert",
    dependencies=[requires("cases")],
    responses={
        **responses(*STORE, AlertNotFound),
        200: {"headers": ETAG, "description": "The alert."},
    },
)
async def get_alert(
    alerts: CurrentAlerts, audit: CurrentAudit, alert_id: AlertIdPath, response: Response
) -> AlertOut:
    """With its evidence, and what people made of it."""
    shown = await alerts.get(alert_id)
    audit.about([shown.alert.streamer_id], 1)
    response.headers["ETag"] = f'"{shown.revision}"'
    return _out(shown)


@router.put(
    "/alerts/{alert_id}",
    operation_id="decide_alert",
    summary="Say what became of an alert",
    dependencies=[requires("cases")],
    responses={
        **responses(*BODY, *STORE, StoreFull, AlertNotFound, VersionConflict),
        200: {"headers": ETAG, "description": "The alert is decided."},
    },
)
async def decide_alert(
    alerts: CurrentAlerts,
    caller: CurrentCaller,
    audit: CurrentAudit,
    alert_id: AlertIdPath,
    body: Checked[AlertIn],
    expected: ExpectedVersions,
    response: Response,
) -> AlertOut:
    """Who decided, and when, comes from the key. A decided alert stays so.

    An open alert is brought up to date where its streamer shows other content: send the revision
    that was looked at as If-Match. Without it, the decision is of what the alert shows by now.

    Other content of the streamer (texts, labels, pictures or sounds, not attributes) raises another
    one. Opened again, a shadow alert of a list that is on by now is delivered.
    """
    shown = await alerts.decide(
        alert_id, body.state, body.note, caller.key_id, caller.name, expected
    )
    audit.about([shown.alert.streamer_id], action=f"decide {body.state}")
    response.headers["ETag"] = f'"{shown.revision}"'
    return _out(shown)
