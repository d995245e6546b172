"""`/v1/judgements`: what people know of pairs."""

from typing import Annotated

from fastapi import Depends, Query

from model_export.contract.streamer import ID_PATTERN
from service.errors import JudgementNotFound, StoreFull, StreamerNotFound
from service.features.duplicates.judgements import Judgements
from service.features.duplicates.schemas import (
    GivenOut,
    JudgementIn,
    JudgementPage,
    ListedOut,
    PairOut,
    TakenBackOut,
)
from service.http.auth.audit import CurrentAudit
from service.http.auth.callers import CurrentCaller
from service.http.auth.rate_limits import CurrentCharges, hits_units
from service.http.auth.route_scopes import requires
from service.http.dependencies import CheckedRouter, service_named
from service.http.documents import BODY, STORE, responses
from service.http.headers.cursors import Cursor, cursor_of, place_of
from service.http.json_bodies import JsonRoute
from service.http.openapi import ANTI_FRAUD
from service.http.problems import Checked

router = CheckedRouter(route_class=JsonRoute, prefix="/v1", tags=[ANTI_FRAUD])
_LISTING = "judgements"
CurrentJudgements = Annotated[Judgements, Depends(service_named("judgements", Judgements))]


def _id(description: str, example: str) -> object:
    return Query(
        pattern=ID_PATTERN,
        min_length=1,
        max_length=128,
        description=description,
        openapi_examples={"demo": {"value": example}},
    )


def _pair(pair: tuple[str, str]) -> PairOut:
    return PairOut(a=pair[0], b=pair[1])


@router.put(
    "/judgements",
    operation_id="judge_pair",
    summary="Judge whether two streamers are the same",
    dependencies=[requires("duplicates")],
    responses=responses(*BODY, *STORE, StoreFull, StreamerNotFound),
)
async def judge_pair(
    judgements: CurrentJudgements,
    caller: CurrentCaller,
    audit: CurrentAudit,
    body: Checked[JudgementIn],
) -> GivenOut:
    """One judgement a pair, in either order; who gave it and when comes from the key.

    It outlasts rebuilds, re-encodings and other models. Of judgements that contradict each other
    (A is B, B is C, A is not C) the newest holds, and the answer names those that do not, and what
    was judged of the pair `before`.
    """
    audit.about([body.a, body.b], action=f"judge {body.verdict}")
    given = await judgements.give(
        body.a, body.b, body.verdict, body.note, caller.key_id, caller.name
    )
    fields = {
        **vars(given.record),
        "before": given.before and vars(given.before),
        "overrules": [_pair(pair) for pair in given.overrules],
    }
    return GivenOut.model_validate(fields)


@router.get(
    "/judgements",
    operation_id="list_judgements",
    summary="List judgements, in pages",
    dependencies=[requires("duplicates")],
    responses=responses(*STORE),
)
async def list_judgements(
    judgements: CurrentJudgements,
    charges: CurrentCharges,
    streamer_id: Annotated[str | None, _id("Those of one streamer.", "w0087")] = None,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most judgements.")] = 100,
) -> JudgementPage:
    """In order of their pairs; `overruled_by` names newer ones that contradict one."""
    charges.reach("duplicates", hits_units(limit))
    listing = f"{_LISTING} {streamer_id or ''}"
    found, following = await judgements.page(streamer_id, place_of(cursor, listing), limit)
    return JudgementPage(
        judgements=[
            ListedOut.model_validate(
                {**vars(one.record), "overruled_by": [_pair(pair) for pair in one.overruled_by]}
            )
            for one in found
        ],
        next_cursor=cursor_of(following, listing),
    )


@router.delete(
    "/judgements",
    operation_id="take_judgement_back",
    summary="Take a judgement back",
    dependencies=[requires("duplicates")],
    responses=responses(*STORE, StoreFull, JudgementNotFound),
)
async def take_judgement_back(
    judgements: CurrentJudgements,
    audit: CurrentAudit,
    a: Annotated[str, _id("One of the pair.", "w0087")],
    b: Annotated[str, _id("The other one.", "w0412")],
) -> TakenBackOut:
    """The pair is as the evidence says from then on; the answer is what was judged."""
    audit.about([a, b])
    return TakenBackOut.model_validate(vars(await judgements.take_back(a, b)))
