"""`/v1/cases`: from a seed to the ring, with verdicts."""

from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse

from service.errors import (
    CaseChanged,
    CaseNotFound,
    IdempotencyKeyReused,
    IfMatchNeeded,
    NothingToUndo,
    NotInCase,
    NotReady,
    StoreFull,
    StreamerNotFound,
    TooManyJobs,
)
from service.features.cases.reads import ETAG, CaseIdPath, CurrentCases, MemberPath, tag
from service.features.cases.records import Actor
from service.features.cases.records import Query as Asked
from service.features.cases.running import Ran
from service.features.cases.schemas import (
    CaseIn,
    CaseOut,
    DecidedOut,
    ExpandIn,
    RanOut,
    UndoneOut,
    VerdictIn,
)
from service.features.cases.shown import (
    case_fields,
    difference_fields,
    entry_fields,
    verdict_fields,
)
from service.features.jobs.accepting import ACCEPTED, deferred
from service.http.auth.audit import CurrentAudit
from service.http.auth.callers import Caller, CurrentCaller
from service.http.auth.rate_limits import ALL_UNITS, CurrentCharges
from service.http.auth.route_scopes import requires
from service.http.dependencies import CheckedRouter
from service.http.documents import BODY, STORE, responses
from service.http.headers.etag import ExpectedVersions
from service.http.headers.idempotency import OnceByKey
from service.http.headers.prefer import PrefersAsync
from service.http.json_bodies import JsonRoute
from service.http.openapi import ANTI_FRAUD
from service.http.problems import Checked
from service.store.jobs import Job

router = CheckedRouter(route_class=JsonRoute, prefix="/v1", tags=[ANTI_FRAUD])
_CHANGE = (*STORE, StoreFull, CaseNotFound, IfMatchNeeded, CaseChanged)
_LATER: dict[int | str, dict[str, Any]] = {
    202: {
        **ACCEPTED,
        "description": "It takes long, another replica does it, or a job is preferred.",
    }
}
_ALL = ExpandIn()


def _actor(caller: Caller) -> Actor:
    return Actor(caller.key_id, caller.name)


def _ran(ran: Ran | Job, response: Response, *, is_preferred: bool) -> RanOut | JSONResponse:
    if isinstance(ran, Job):
        return deferred(ran, is_preferred=is_preferred)
    tag(response, ran.kept.revision)
    fields = {**case_fields(ran.kept), "differences": difference_fields(ran.differences)}
    return RanOut.model_validate(fields)


@router.post(
    "/cases",
    operation_id="create_case",
    summary="Begin a case",
    dependencies=[requires("cases")],
    status_code=201,
    responses=responses(*BODY, *STORE, StoreFull, StreamerNotFound, IdempotencyKeyReused)
    | {201: ETAG},
)
async def create_case(
    cases: CurrentCases,
    caller: CurrentCaller,
    audit: CurrentAudit,
    body: Checked[CaseIn],
    once: OnceByKey,
    response: Response,
) -> CaseOut:
    """From seeds that are stored; it has no members before it is expanded."""
    audit.about(body.seeds)
    kept = await cases.create(body.title, body.seeds, body.exclude, _actor(caller), once)
    tag(response, kept.revision)
    return CaseOut.model_validate(case_fields(kept))


@router.post(
    "/cases/{case_id}:expand",
    operation_id="expand_case",
    summary="Expand a case from its seeds and confirmed members",
    dependencies=[requires("cases")],
    response_model=RanOut,
    responses=responses(*BODY, *_CHANGE, TooManyJobs, IdempotencyKeyReused) | _LATER | {200: ETAG},
)
async def expand_case(
    cases: CurrentCases,
    caller: CurrentCaller,
    charges: CurrentCharges,
    audit: CurrentAudit,
    case_id: CaseIdPath,
    expected: ExpectedVersions,
    response: Response,
    prefers_async: PrefersAsync,
    once: OnceByKey,
    body: Checked[ExpandIn] = _ALL,
) -> RanOut | JSONResponse:
    """Walks over edges of evidence, the surest first, until nothing or no budget is left.

    What hundreds of streamers show, such as an agency's handle, makes no edge. An expansion that
    takes more than a second goes on as a job, whose result has the differences; so does one that
    was asked of a replica which does not keep the candidates of all streamers, and any with
    `Prefer: respond-async`. A job takes in what is decided meanwhile, and fails with
    `case_changed` where the case shows another run by then than when it was asked for. With an
    Idempotency-Key, a request that is sent again gets its job, or the run that was made at once
    for as long as the case shows it.
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
    ran = await cases.expand(
        case_id, query, expected, _actor(caller), later=prefers_async, once=once
    )
    return _ran(ran, response, is_preferred=prefers_async)


@router.post(
    "/cases/{case_id}:rerun",
    operation_id="rerun_case",
    summary="Expand a case as before, and tell what changed",
    dependencies=[requires("cases")],
    response_model=RanOut,
    responses=responses(*_CHANGE, NotReady, TooManyJobs, IdempotencyKeyReused)
    | _LATER
    | {200: ETAG},
)
async def rerun_case(
    cases: CurrentCases,
    caller: CurrentCaller,
    charges: CurrentCharges,
    audit: CurrentAudit,
    case_id: CaseIdPath,
    expected: ExpectedVersions,
    response: Response,
    prefers_async: PrefersAsync,
    once: OnceByKey,
) -> RanOut | JSONResponse:
    """Who joined, who left, who is shown otherwise, each with its cause.

    Where nothing changed, nothing is written: the case stays as it was, byte for byte.
    """
    charges.reach("cases", ALL_UNITS)
    audit.about([case_id])
    ran = await cases.rerun(case_id, expected, _actor(caller), later=prefers_async, once=once)
    return _ran(ran, response, is_preferred=prefers_async)


@router.post(
    "/cases/{case_id}:undo",
    operation_id="undo_case",
    summary="Take the last change of a case back",
    dependencies=[requires("cases")],
    responses=responses(*_CHANGE, NothingToUndo) | {200: ETAG},
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
    tag(response, kept.revision)
    fields = {**case_fields(kept), "undone": entry_fields(*undone)}
    return UndoneOut.model_validate(fields)


@router.put(
    "/cases/{case_id:name}/members/{streamer_id}",
    operation_id="decide_case_member",
    summary="Decide on a member of a case",
    dependencies=[requires("cases")],
    responses=responses(*BODY, *_CHANGE, NotInCase) | {200: ETAG},
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
    """The next expansion respects it. It outlasts writes and deletes of the streamer.

    It is about the profile that the case shows: `profile_changed` tells that another one is stored
    by now. The same verdict with the same note, by the same key, changes nothing.
    """
    audit.about([streamer_id], action=f"decide {body.verdict}")
    who = _actor(caller)
    note = body.note
    kept, decided = await cases.decide(case_id, streamer_id, body.verdict, note, expected, who)
    tag(response, kept.revision)
    fields = {**verdict_fields(decided), "streamer_id": streamer_id, "revision": kept.revision}
    return DecidedOut.model_validate(fields)


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
    """Nothing of it stays, but for the audit log; its jobs end and go too.

    Where the deletion was interrupted, its jobs go within ten minutes.
    """
    audit.about([case_id])
    await cases.delete(case_id, expected)
    return Response(status_code=204)
