"""`/v1/layouts`: the map of the corpus."""

import time
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import Depends, Query, Response
from fastapi.responses import StreamingResponse

from service.engine.layouts.map import Circle, Polygon
from service.engine.work.lanes import Lane
from service.errors import (
    IdempotencyKeyReused,
    LayoutNotFound,
    NotReady,
    StreamerNotFound,
    TooManyJobs,
)
from service.features.jobs.accepting import ACCEPTED, accepted
from service.features.jobs.schemas import QUEUED, JobOut
from service.features.layouts.changing import MODEL_CHANGE
from service.features.layouts.jobs import KIND
from service.features.layouts.schemas import (
    LayoutOut,
    LayoutsOut,
    OnMapOut,
    SelectedOut,
    SelectIn,
)
from service.features.layouts.service import GROUPS, Drawing, Layouts, Selected
from service.features.layouts.storing import LayoutRecord
from service.http.auth.audit import CurrentAudit
from service.http.auth.callers import CurrentCaller
from service.http.auth.rate_limits import ALL_UNITS, CurrentCharges, hits_units, inputs_units
from service.http.auth.route_scopes import requires
from service.http.dependencies import CheckedRouter, CurrentLanes, service_named
from service.http.documents import BODY, STORE, responses
from service.http.headers.idempotency import OnceByKey
from service.http.headers.prefer import PrefersAsync
from service.http.json_bodies import JsonRoute
from service.http.openapi import ALL_TEAMS
from service.http.problems import Checked
from service.http.schemas import with_nulls

router = CheckedRouter(route_class=JsonRoute, prefix="/v1", tags=[ALL_TEAMS])
CurrentLayouts = Annotated[Layouts, Depends(service_named("layouts", Layouts))]
_BINARY = "application/octet-stream"
_ACCEPTED: dict[str, Any] = ACCEPTED | {
    "content": {"application/json": {"example": with_nulls(QUEUED | {"kind": KIND})}}
}


@router.get(
    "/layouts",
    operation_id="get_layouts",
    summary="Get the state of the map",
    dependencies=[requires("search")],
    responses=responses(),
)
async def get_layouts(layouts: CurrentLayouts) -> LayoutsOut:
    """The layout that is current, how old it is, and how many are on it."""
    state = layouts.state()
    return LayoutsOut(
        current=None if state.current is None else _layout_out(state.current),
        served=state.served,
        placed=state.placed,
        waiting=state.waiting,
        problem=state.problem,
    )


@router.post(
    "/layouts:fit",
    operation_id="fit_layout",
    summary="Fit a new layout of all streamers",
    status_code=202,
    dependencies=[requires("search")],
    responses={**responses(*STORE, IdempotencyKeyReused, TooManyJobs), 202: _ACCEPTED},
)
async def fit_layout(
    layouts: CurrentLayouts,
    caller: CurrentCaller,
    charges: CurrentCharges,
    response: Response,
    prefers_async: PrefersAsync,
    once: OnceByKey,
) -> JobOut:
    """Queues a job. The map so far is served until everyone is placed on the new one.

    It is fitted by UMAP on a sample of up to 100,000 streamers, in a process of a low priority, and
    turned to lie as the one before. Whoever is written later is placed by those nearest to it, so a
    new layout is for when the corpus has changed much. Where umap-learn is not installed, the job
    fails and says so.
    """
    charges.reach("search", ALL_UNITS)
    return accepted(await layouts.fit(once, caller.key), response, is_preferred=prefers_async)


@router.get(
    "/layouts/current/points",
    operation_id="get_layout_points",
    summary="Get the places of all streamers, as binary data",
    dependencies=[requires("search")],
    response_class=StreamingResponse,
    responses=responses(*STORE, NotReady, LayoutNotFound)
    | {
        200: {
            "description": "Little-endian: `SSM1`, the length of the header (uint32), the header "
            "(JSON: layout_id, count, block, waiting, colour, classes), then blocks of `block` "
            "points: x of each (uint16), y of each (uint16), class of each (uint8: 1 + its place "
            "in `classes`, 0 = another). Any part from the beginning is spread over the whole map.",
            "content": {
                _BINARY: {
                    "schema": {"type": "string", "format": "binary"},
                    "example": 'SSM1…{"layout_id": "9c2f4e1ab07d5836", "count": 1000000, …}…',
                }
            },
        }
    },
)
async def get_layout_points(
    layouts: CurrentLayouts,
    charges: CurrentCharges,
    caller: CurrentCaller,
    audit: CurrentAudit,
    colour: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=80,
            description="The field whose values are told: category, language, tags, an attribute; "
            f"`{GROUPS}`, which needs the scope `duplicates`; or `{MODEL_CHANGE}`: how far each "
            "moved among the others between the served model and another one in this replica. Of "
            "a field its 12 most frequent values, of numbers five ranges, of groups the 240 "
            "largest.",
            openapi_examples={"category": {"value": "category"}},
        ),
    ] = None,
) -> StreamingResponse:
    """Five bytes a streamer; neither ids nor vectors are in it: `:select` tells who is where."""
    charges.reach("search", ALL_UNITS)
    if colour == GROUPS:
        caller.require("duplicates")
    drawing = await layouts.draw(colour)
    audit.about(results=0)
    headers = {"Content-Length": str(drawing.size), "Cache-Control": "no-store"}
    return StreamingResponse(_sent(drawing), media_type=_BINARY, headers=headers)


@router.post(
    "/layouts/current:select",
    operation_id="select_on_layout",
    summary="Get who is in a part of the map",
    dependencies=[requires("search")],
    response_model=SelectedOut,
    responses=responses(*BODY, *STORE, NotReady, LayoutNotFound, StreamerNotFound),
)
async def select_on_layout(
    layouts: CurrentLayouts,
    lanes: CurrentLanes,
    charges: CurrentCharges,
    audit: CurrentAudit,
    body: Checked[SelectIn],
) -> Response:
    """By a polygon, a circle, or a streamer. Copies lie on one point: a circle of radius 0 has all.

    Replicas place by the same streamers, so it does not matter which one answers.
    """
    corners = len(body.polygon or ())  # each is a pass over who is beside it
    charges.reach("search", hits_units(body.limit) + inputs_units(max(1, corners), 0))
    if body.streamer_id is not None:
        found = await layouts.around(body.streamer_id, body.radius, body.limit)
    elif body.near is not None:
        circle = Circle(body.near.x, body.near.y, body.near.radius)
        found = await layouts.select(circle, body.limit, body.layout_id)
    else:
        polygon = Polygon(body.polygon or ())
        found = await layouts.select(polygon, body.limit, body.layout_id)
    audit.about([row.streamer_id for row, _ in found.streamers], found.count)
    made = await lanes.run(lambda: _selected_out(found).model_dump_json(), Lane.HEAVY)
    return Response(made, media_type="application/json")


def _layout_out(record: LayoutRecord) -> LayoutOut:
    shared = record.registration
    return LayoutOut(
        layout_id=record.layout_id,
        created_at=record.created_at,
        age_s=round(max(0.0, time.time() - record.created_at), 3),
        model_version=record.model_version,
        fitted=record.fitted,
        took_s=record.took_s,
        shared=0 if shared is None else shared.shared,
        residual=None if shared is None else shared.residual,
    )


def _selected_out(found: Selected) -> SelectedOut:
    x, y = found.centre
    shown = [
        OnMapOut(
            streamer_id=row.streamer_id,
            name=row.facets.get("name"),
            category=row.facets.get("category"),
            x=place[0],
            y=place[1],
        )
        for row, place in found.streamers
    ]
    return SelectedOut(layout_id=found.layout_id, x=x, y=y, count=found.count, streamers=shown)


async def _sent(drawing: Drawing) -> AsyncGenerator[bytes, None]:
    for part in drawing.parts:  # each takes a millisecond
        yield part
