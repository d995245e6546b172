"""`/v1/cases`: what is read of cases; `endpoints` changes them."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from pydantic_core import to_json

from model_export.contract.streamer import ID_PATTERN
from service.errors import CaseChanged, CaseNotFound, CursorExpired
from service.features.cases.exports.exporting import MEDIA_TYPES, Exports, Format
from service.features.cases.schemas import (
    CASE_PATTERN,
    CaseDetailOut,
    CaseEventOut,
    CaseEventPage,
    CaseOut,
    CasePage,
    NamedVerdictOut,
    VerdictPage,
)
from service.features.cases.service import Cases
from service.features.cases.shown import case_fields, detail_fields, entry_fields, verdict_fields
from service.http.auth.audit import CurrentAudit
from service.http.auth.callers import CurrentCaller
from service.http.auth.rate_limits import ALL_UNITS, CurrentCharges, hits_units
from service.http.auth.route_scopes import requires
from service.http.dependencies import CheckedRouter, service_named
from service.http.documents import STORE, responses
from service.http.headers.cursors import Cursor, cursor_of, number_of, place_of
from service.http.openapi import ANTI_FRAUD

router = CheckedRouter(prefix="/v1", tags=[ANTI_FRAUD])
CurrentCases = Annotated[Cases, Depends(service_named("cases", Cases))]
CurrentExports = Annotated[Exports, Depends(service_named("case_exports", Exports))]
CaseIdPath = Annotated[
    str,
    Path(
        pattern=CASE_PATTERN,
        description="Of a case, as GET /v1/cases lists it.",
    ),
]
MemberPath = Annotated[
    str,
    Path(
        pattern=ID_PATTERN,
        min_length=1,
        max_length=128,
        description="Of a streamer in the case.",
        openapi_examples={"demo": {"value": "w0087"}},
    ),
]
ETAG: dict[str, Any] = {
    "headers": {"ETag": {"description": "Of the case.", "schema": {"type": "string"}}}
}


def tag(response: Response, revision: int) -> None:
    """Name the revision of a case in an answer."""
    response.headers["ETag"] = f'"{revision}"'


async def _written(cases: Cases, page: Callable[[], BaseModel]) -> Response:
    """A page, made and written off the event loop."""
    body = await cases.in_thread(lambda: page().model_dump_json())
    return Response(body, media_type="application/json")


@router.get(
    "/cases",
    operation_id="list_cases",
    summary="List cases, in pages",
    dependencies=[requires("cases")],
    response_model=CasePage,
    responses=responses(*STORE),
)
async def list_cases(
    cases: CurrentCases,
    charges: CurrentCharges,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Most cases on a page.")] = 100,
) -> Response:
    """In order of their ids, without their members; of large ones fewer than `limit`."""
    charges.reach("cases", hits_units(limit))
    found, following = await cases.page(place_of(cursor, "cases"), limit)

    def page() -> CasePage:
        return CasePage(
            cases=[CaseOut.model_validate(case_fields(kept)) for kept in found],
            next_cursor=cursor_of(following, "cases"),
        )

    return await _written(cases, page)


@router.get(
    "/cases/{case_id:name}",
    operation_id="get_case",
    summary="Get a case and its members, in pages",
    dependencies=[requires("cases")],
    response_model=CaseDetailOut,
    responses=responses(*STORE, CaseNotFound, CursorExpired) | {200: ETAG},
)
async def get_case(
    cases: CurrentCases,
    charges: CurrentCharges,
    audit: CurrentAudit,
    case_id: CaseIdPath,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Most members on a page.")] = 100,
) -> Response:
    """Members as the last expansion found them, the surest first, with what was decided since.

    Each member has its best path from a seed, the weakest link of it, and what its membership hangs
    on. `edges` are those of the members on the page with members before them.
    """
    charges.reach("cases", hits_units(limit))
    place = place_of(cursor, case_id)
    run_id, _, start = place.partition("/")
    shown = await cases.show(case_id, run_id or None, number_of(start), limit)
    following = None
    if shown.next_place is not None and shown.kept.case.run is not None:
        following = f"{shown.kept.case.run.run_id}/{shown.next_place}"
    audit.about(results=len(shown.members))
    body = await cases.in_thread(
        lambda: to_json(detail_fields(shown, cursor_of(following, case_id)))
    )
    response = Response(body, media_type="application/json")
    tag(response, shown.kept.revision)
    return response


@router.get(
    "/cases/{case_id:name}/verdicts",
    operation_id="list_case_verdicts",
    summary="List what was decided in a case",
    dependencies=[requires("cases")],
    response_model=VerdictPage,
    responses=responses(*STORE, CaseNotFound),
)
async def list_case_verdicts(
    cases: CurrentCases,
    charges: CurrentCharges,
    case_id: CaseIdPath,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most verdicts.")] = 100,
) -> Response:
    """In order of the streamers' ids, also of those who are no members any more.

    Of long notes a page has fewer than `limit`.
    """
    charges.reach("cases", hits_units(limit))
    found, following = await cases.verdicts(case_id, place_of(cursor, f"v{case_id}"), limit)

    def page() -> VerdictPage:
        shown = [{**verdict_fields(each), "streamer_id": name} for name, each in found]
        return VerdictPage(
            verdicts=[NamedVerdictOut.model_validate(one) for one in shown],
            next_cursor=cursor_of(following, f"v{case_id}"),
        )

    return await _written(cases, page)


@router.get(
    "/cases/{case_id:name}/events",
    operation_id="list_case_events",
    summary="List the changes of a case",
    dependencies=[requires("cases")],
    response_model=CaseEventPage,
    responses=responses(*STORE, CaseNotFound),
)
async def list_case_events(
    cases: CurrentCases,
    charges: CurrentCharges,
    case_id: CaseIdPath,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most events.")] = 100,
) -> Response:
    """The oldest first: who changed what, when, what was and what is.

    Of large changes a page has fewer than `limit`.
    """
    charges.reach("cases", hits_units(limit))
    after = place_of(cursor, f"e{case_id}")
    found, following = await cases.events(case_id, number_of(after), limit)
    place = None if following is None else str(following)

    def page() -> CaseEventPage:
        return CaseEventPage(
            events=[CaseEventOut.model_validate(entry_fields(*each)) for each in found],
            next_cursor=cursor_of(place, f"e{case_id}"),
        )

    return await _written(cases, page)


@router.get(
    "/cases/{case_id:name}/export",
    operation_id="export_case",
    summary="Export a case",
    dependencies=[requires("cases")],
    response_class=Response,
    responses=responses(*STORE, CaseNotFound, CaseChanged, CursorExpired)
    | {
        200: {
            "description": "The members as CSV, the members as lines of JSON, or all of the case.",
            "content": {
                "text/csv": {"schema": {"type": "string"}, "example": "streamer_id,state,hop\r\n"},
                "application/x-ndjson": {
                    "schema": {"type": "object"},
                    "examples": {"lines": {"value": '{"streamer_id":"w0087","hop":0}\n'}},
                },
                "application/zip": {
                    "schema": {"type": "string", "format": "binary"},
                    "examples": {"archive": {"value": "PK"}},
                },
            },
        }
    },
)
async def export_case(
    exports: CurrentExports,
    charges: CurrentCharges,
    caller: CurrentCaller,
    audit: CurrentAudit,
    case_id: CaseIdPath,
    format: Annotated[
        Format,
        Query(
            description="csv: for spreadsheets, with a byte order mark, and cells that can't be "
            "formulas. ndjson: members with their edges. zip: profiles, edges, verdicts, events "
            "and the question, with the SHA-256 of each file, and whether a profile is as it was "
            "seen, for keys that have the scope `streamers:read` too; "
            "`python -m service verify-case FILE` checks it."
        ),
    ] = "zip",
) -> Response:
    """A file that shows the case as of one moment."""
    if format == "zip":
        caller.require("streamers:read")
    charges.reach("cases", ALL_UNITS)
    parts, members = await exports.export(case_id, format)
    audit.about(members, len(members), action=f"export {format}")
    headers = {"Content-Disposition": f'attachment; filename="{case_id}.{format}"'}
    return StreamingResponse(parts, media_type=MEDIA_TYPES[format], headers=headers)
