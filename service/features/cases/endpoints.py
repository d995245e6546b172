"""`/v1/cases`: from a seed to the ring, with verdicts."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic_core import to_json

from model_export.contract.streamer import ID_PATTERN
from service.errors import (
    CaseChanged,
    CaseNotFound,
    CursorExpired,
    IfMatchNeeded,
    NothingToUndo,
    NotInCase,
    StoreFull,
    StreamerNotFound,
    TooManyJobs,
)
from service.features.cases.exporting import MEDIA_TYPES, Exports, Format
from service.features.cases.records import Query as Asked
from service.features.cases.schemas import (
    CASE_PATTERN,
    EXAMPLE_CASE,
    CaseDetailOut,
    CaseIn,
    CaseOut,
    CasePage,
    DecidedOut,
    EventPage,
    ExpandIn,
    RanOut,
    UndoneOut,
    VerdictIn,
    VerdictPage,
)
from service.features.cases.service import Actor, Cases, Ran
from service.features.cases.shown import (
    case_fields,
    detail_fields,
    difference_fields,
    entry_fields,
)
from service.features.jobs.accepting import ACCEPTED, deferred
from service.http.auth.audit import CurrentAudit
from service.http.auth.callers import Caller, CurrentCaller
from service.http.auth.rate_limits import ALL_UNITS, CurrentCharges, hits_units
from service.http.auth.route_scopes import requires
from service.http.dependencies import service_named
from service.http.documents import BODY, STORE, responses
from service.http.headers.cursors import MOST_CHARS, cursor_of, place_of
from service.http.headers.etag import ExpectedVersions
from service.http.json_bodies import JsonRoute
from service.http.openapi import ANTI_FRAUD
from service.http.problems import Checked
from service.store.jobs import Job

router = APIRouter(route_class=JsonRoute, prefix="/v1", tags=[ANTI_FRAUD])
CurrentCases = Annotated[Cases, Depends(service_named("cases", Cases))]
CurrentExports = Annotated[Exports, Depends(service_named("case_exports", Exports))]
CaseIdPath = Annotated[
    str,
    Path(
        pattern=CASE_PATTERN,
        description="Of a case.",
        openapi_examples={"a case": {"value": EXAMPLE_CASE}},
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
Cursor = Annotated[
    str | None, Query(max_length=MOST_CHARS, description="next_cursor of the previous page.")
]
_ETAG: dict[str, Any] = {
    "headers": {"ETag": {"description": "Of the case.", "schema": {"type": "string"}}}
}
_CHANGE = (*STORE, StoreFull, CaseNotFound, IfMatchNeeded, CaseChanged)
_LATER: dict[int | str, dict[str, Any]] = {
    202: {**ACCEPTED, "description": "It takes more than a second: a job goes on with it."}
}
_ALL = ExpandIn()


def _actor(caller: Caller) -> Actor:
    return Actor(caller.key_id, caller.name)


def _tag(response: Response, revision: int) -> None:
    response.headers["ETag"] = f'"{revision}"'


def _ran(ran: Ran | Job, response: Response) -> RanOut | JSONResponse:
    if isinstance(ran, Job):
        return deferred(ran)
    _tag(response, ran.kept.revision)
    fields = {**case_fields(ran.kept), "differences": difference_fields(ran.differences)}
    return RanOut.model_validate(fields)


@router.post(
    "/cases",
    operation_id="create_case",
    summary="Begin a case",
    dependencies=[requires("cases")],
    status_code=201,
    responses=responses(*BODY, *STORE, StoreFull, StreamerNotFound) | {201: _ETAG},
)
async def create_case(
    cases: CurrentCases,
    caller: CurrentCaller,
    audit: CurrentAudit,
    body: Checked[CaseIn],
    response: Response,
) -> CaseOut:
    """From seeds that are stored; it has no members before it is expanded."""
    audit.about(body.seeds)
    kept = await cases.create(body.title, body.seeds, body.exclude, _actor(caller))
    _tag(response, kept.revision)
    return CaseOut.model_validate(case_fields(kept))


@router.get(
    "/cases",
    operation_id="list_cases",
    summary="List cases, in pages",
    dependencies=[requires("cases")],
    responses=responses(*STORE),
)
async def list_cases(
    cases: CurrentCases,
    charges: CurrentCharges,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Most cases on a page.")] = 100,
) -> CasePage:
    """In order of their ids, without their members."""
    charges.reach("cases", hits_units(limit))
    found, following = await cases.page(place_of(cursor, "cases"), limit)
    return CasePage(
        cases=[CaseOut.model_validate(case_fields(kept)) for kept in found],
        next_cursor=cursor_of(following, "cases"),
    )


@router.get(
    "/cases/{case_id:name}",
    operation_id="get_case",
    summary="Get a case and its members, in pages",
    dependencies=[requires("cases")],
    response_model=CaseDetailOut,
    responses=responses(*STORE, CaseNotFound, CursorExpired) | {200: _ETAG},
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
    shown = await cases.show(case_id, run_id or None, int(start or 0), limit)
    following = None
    if shown.next_place is not None and shown.kept.case.run is not None:
        following = f"{shown.kept.case.run.run_id}/{shown.next_place}"
    audit.about(results=len(shown.members))
    body = await cases.in_thread(
        lambda: to_json(detail_fields(shown, cursor_of(following, case_id)))
    )
    response = Response(body, media_type="application/json")
    _tag(response, shown.kept.revision)
    return response


@router.post(
    "/cases/{case_id}:expand",
    operation_id="expand_case",
    summary="Expand a case from its seeds and confirmed members",
    dependencies=[requires("cases")],
    response_model=RanOut,
    responses=responses(*BODY, *_CHANGE, TooManyJobs) | _LATER | {200: _ETAG},
)
async def expand_case(
    cases: CurrentCases,
    caller: CurrentCaller,
    charges: CurrentCharges,
    audit: CurrentAudit,
    case_id: CaseIdPath,
    expected: ExpectedVersions,
    response: Response,
    body: Checked[ExpandIn] = _ALL,
) -> RanOut | JSONResponse:
    """Walks over edges of evidence, the surest first, until nothing or no budget is left.

    What hundreds of streamers show, such as an agency's handle, makes no edge. An expansion that
    takes more than a second goes on as a job, whose result has the differences.
    """
    charges.reach("cases", ALL_UNITS)
    audit.about([case_id])
    query = Asked(
        body.hops,
        tuple(kind for kind in dict.fromkeys(body.kinds)),
        body.min_probability,
        body.fan_out,
        body.budget,
        body.filter.model_dump(mode="json", exclude_defaults=True),
    )
    return _ran(await cases.expand(case_id, query, expected, _actor(caller)), response)


@router.post(
    "/cases/{case_id}:rerun",
    operation_id="rerun_case",
    summary="Expand a case as before, and tell what changed",
    dependencies=[requires("cases")],
    response_model=RanOut,
    responses=responses(*_CHANGE, TooManyJobs) | _LATER | {200: _ETAG},
)
async def rerun_case(
    cases: CurrentCases,
    caller: CurrentCaller,
    charges: CurrentCharges,
    audit: CurrentAudit,
    case_id: CaseIdPath,
    expected: ExpectedVersions,
    response: Response,
) -> RanOut | JSONResponse:
    """Who joined, who left, who is shown otherwise, each with its cause.

    Where nothing changed, nothing is written: the case stays as it was, byte for byte.
    """
    charges.reach("cases", ALL_UNITS)
    audit.about([case_id])
    return _ran(await cases.rerun(case_id, expected, _actor(caller)), response)


@router.post(
    "/cases/{case_id}:undo",
    operation_id="undo_case",
    summary="Take the last change of a case back",
    dependencies=[requires("cases")],
    responses=responses(*_CHANGE, NothingToUndo) | {200: _ETAG},
)
async def undo_case(
    cases: CurrentCases,
    caller: CurrentCaller,
    audit: CurrentAudit,
    case_id: CaseIdPath,
    expected: ExpectedVersions,
    response: Response,
) -> UndoneOut:
    """A verdict, or an expansion: the one before is shown again. Once more takes the one before."""
    audit.about([case_id])
    kept, undone = await cases.undo(case_id, expected, _actor(caller))
    _tag(response, kept.revision)
    fields = {**case_fields(kept), "undone": entry_fields(*undone)}
    return UndoneOut.model_validate(fields)


@router.put(
    "/cases/{case_id:name}/members/{streamer_id}",
    operation_id="decide_case_member",
    summary="Decide on a member of a case",
    dependencies=[requires("cases")],
    responses=responses(*BODY, *_CHANGE, NotInCase) | {200: _ETAG},
)
async def decide_case_member(
    cases: CurrentCases,
    caller: CurrentCaller,
    audit: CurrentAudit,
    case_id: CaseIdPath,
    streamer_id: MemberPath,
    expected: ExpectedVersions,
    response: Response,
    body: Checked[VerdictIn],
) -> DecidedOut:
    """The next expansion respects it. It outlasts writes and deletes of the streamer."""
    audit.about([streamer_id], action=f"decide {body.verdict}")
    who = _actor(caller)
    kept, record = await cases.decide(case_id, streamer_id, body.verdict, body.note, expected, who)
    _tag(response, kept.revision)
    fields = {**vars(record), "streamer_id": streamer_id, "revision": kept.revision}
    return DecidedOut.model_validate(fields)


@router.get(
    "/cases/{case_id:name}/verdicts",
    operation_id="list_case_verdicts",
    summary="List what was decided in a case",
    dependencies=[requires("cases")],
    responses=responses(*STORE, CaseNotFound),
)
async def list_case_verdicts(
    cases: CurrentCases,
    charges: CurrentCharges,
    case_id: CaseIdPath,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most verdicts.")] = 100,
) -> VerdictPage:
    """In order of the streamers' ids, also of those who are no members any more."""
    charges.reach("cases", hits_units(limit))
    found, following = await cases.verdicts(case_id, place_of(cursor, f"v{case_id}"), limit)
    return VerdictPage.model_validate(
        {
            "verdicts": [{**vars(each), "streamer_id": name} for name, each in found],
            "next_cursor": cursor_of(following, f"v{case_id}"),
        }
    )


@router.get(
    "/cases/{case_id:name}/events",
    operation_id="list_case_events",
    summary="List the changes of a case",
    dependencies=[requires("cases")],
    responses=responses(*STORE, CaseNotFound),
)
async def list_case_events(
    cases: CurrentCases,
    charges: CurrentCharges,
    case_id: CaseIdPath,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most events.")] = 100,
) -> EventPage:
    """The oldest first: who changed what, when, what was and what is."""
    charges.reach("cases", hits_units(limit))
    after = place_of(cursor, f"e{case_id}")
    found = await cases.events(case_id, int(after or 0), limit)
    following = str(found[-1][0].number) if len(found) == limit else None
    return EventPage.model_validate(
        {
            "events": [entry_fields(entry, event) for entry, event in found],
            "next_cursor": cursor_of(following, f"e{case_id}"),
        }
    )


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
                "text/csv": {"schema": {"type": "string"}, "example": "streamer_id,hop\r\n"},
                "application/x-ndjson": {"schema": {"type": "string"}, "example": "{}\n"},
                "application/zip": {"schema": {"type": "string", "format": "binary"}},
            },
        }
    },
)
async def export_case(
    exports: CurrentExports,
    charges: CurrentCharges,
    audit: CurrentAudit,
    case_id: CaseIdPath,
    format: Annotated[
        Format,
        Query(
            description="csv: for spreadsheets, with a byte order mark, and cells that can't be "
            "formulas. ndjson: members with their edges. zip: profiles as they were seen, edges, "
            "verdicts, events and the question, with the SHA-256 of each file; "
            "`python -m service verify-case FILE` checks it."
        ),
    ] = "zip",
) -> Response:
    """A file that shows the case as of one moment."""
    charges.reach("cases", ALL_UNITS)
    audit.about([case_id], action=f"export {format}")
    parts = await exports.export(case_id, format)
    headers = {"Content-Disposition": f'attachment; filename="{case_id}.{format}"'}
    return StreamingResponse(parts, media_type=MEDIA_TYPES[format], headers=headers)


@router.delete(
    "/cases/{case_id:name}",
    operation_id="delete_case",
    summary="Delete a case with its verdicts and events",
    dependencies=[requires("cases")],
    status_code=204,
    responses=responses(*_CHANGE),
)
async def delete_case(
    cases: CurrentCases, audit: CurrentAudit, case_id: CaseIdPath, expected: ExpectedVersions
) -> Response:
    """Nothing of it stays, but for the audit log."""
    audit.about([case_id])
    await cases.delete(case_id, expected)
    return Response(status_code=204)
