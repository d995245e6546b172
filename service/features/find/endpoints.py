"""`streamers:find` and `streamers:facets`: streamers by name, and values of filters with counts."""

from typing import Annotated

from fastapi import Depends, Response

from service.features.find.cursors import find_cursor, find_place
from service.features.find.schemas import (
    FacetsIn,
    FacetsOut,
    FieldCountsOut,
    FindIn,
    FindOut,
    FoundOut,
)
from service.features.find.service import Find, Shown
from service.http.auth.audit import CurrentAudit
from service.http.auth.rate_limits import CurrentCharges, hits_units
from service.http.auth.route_scopes import requires
from service.http.dependencies import CheckedRouter, CurrentLanes, service_named
from service.http.documents import BODY, INDEX, responses
from service.http.json_bodies import JsonRoute, json_answer
from service.http.openapi import ALL_TEAMS
from service.http.problems import Checked

router = CheckedRouter(route_class=JsonRoute, prefix="/v1", tags=[ALL_TEAMS])
CurrentFind = Annotated[Find, Depends(service_named("find", Find))]
_MOST_KNOWN = 200


@router.post(
    "/streamers:find",
    operation_id="find_streamers",
    summary="Find streamers by nickname, tag or bio",
    dependencies=[requires("streamers:read")],
    response_model=FindOut,
    responses=responses(*BODY, *INDEX),
)
async def find_streamers(
    find: CurrentFind,
    lanes: CurrentLanes,
    charges: CurrentCharges,
    audit: CurrentAudit,
    body: Checked[FindIn],
) -> Response:
    """In pages, the best first, as the index knows them; `GET /v1/streamers?q=` has whole profiles.

    Names come after the index at a start: `complete` is false until all are there. A write is found
    moments after its answer; with `after_sequence` surely.
    """
    wanted = body.filter.model_dump_json()
    place = find_place(body.cursor, body.q, wanted)
    charges.reach("streamers:read", hits_units(body.limit))
    page = await find.page(body.q, place, body.limit, body.filter.domain(), body.after_sequence)
    audit.about([shown.hit.streamer_id for shown in page.hits], len(page.hits))

    def made() -> FindOut:
        return FindOut(
            streamers=[_found_out(shown) for shown in page.hits],
            next_cursor=find_cursor(page.after, body.q, wanted),
            complete=page.incomplete_because is None,
            incomplete_because=page.incomplete_because,
        )

    return await json_answer(made, len(page.hits), lanes)


def _found_out(shown: Shown) -> FoundOut:
    facets = shown.row.facets
    return FoundOut(
        streamer_id=shown.hit.streamer_id,
        matched=shown.hit.matched,
        **{name: facets[name] for name in _FACETS if name in facets},
    )


_FACETS = ("name", "category", "language", "tags", "attributes")


@router.post(
    "/streamers:facets",
    operation_id="count_facets",
    summary="Count the values of fields",
    dependencies=[requires("streamers:read")],
    response_model=FacetsOut,
    responses=responses(*BODY, *INDEX),
)
async def count_facets(
    find: CurrentFind,
    lanes: CurrentLanes,
    charges: CurrentCharges,
    audit: CurrentAudit,
    body: Checked[FacetsIn],
) -> Response:
    """What a filter can be made of: values with the number of streamers that each would leave.

    Counted by bitmaps of the index, for the streamers that `filter` lets through.
    """
    charges.reach("streamers:read", hits_units(body.most * len(body.fields)))
    fields = list(dict.fromkeys(body.fields))
    answer = await find.facets(body.filter.domain(), fields, body.most, body.after_sequence)
    audit.about(results=len(fields))
    counts = answer.counts

    def made() -> FacetsOut:
        return FacetsOut(
            count=counts.count,
            fields=[FieldCountsOut.model_validate(field) for field in counts.fields],
            known_fields=list(counts.known_fields[:_MOST_KNOWN]),
            unknown_fields=list(counts.unknown_fields),
            complete=answer.incomplete_because is None,
            incomplete_because=answer.incomplete_because,
        )

    return await json_answer(made, sum(len(field.values) for field in counts.fields), lanes)
