"""`/v1/ratings`: how well streamers fit the questions that found them."""

from typing import Annotated

from fastapi import Depends, Query

from model_export.contract.streamer import ID_PATTERN
from service.errors import RatingNotFound, StoreFull, StreamerNotFound, TooManyRecords
from service.features.ratings.schemas import (
    MineIn,
    MineOut,
    MyRatingOut,
    RatedOut,
    RatingIn,
    RatingOut,
    RatingPage,
)
from service.features.ratings.service import Ratings
from service.http.auth.audit import CurrentAudit
from service.http.auth.callers import CurrentCaller
from service.http.auth.rate_limits import CurrentCharges, hits_units
from service.http.auth.route_scopes import requires
from service.http.dependencies import CheckedRouter, service_named
from service.http.documents import BODY, STORE, responses
from service.http.headers.cursors import Cursor, cursor_of, place_of
from service.http.json_bodies import JsonRoute
from service.http.openapi import OPERATIONS
from service.http.problems import Checked

router = CheckedRouter(route_class=JsonRoute, prefix="/v1", tags=[OPERATIONS])
CurrentRatings = Annotated[Ratings, Depends(service_named("ratings", Ratings))]
_QUESTION_ID = r"^[0-9a-f]{16}$"


@router.put(
    "/ratings",
    operation_id="rate_streamer",
    summary="Rate a streamer for a question",
    dependencies=[requires("search")],
    responses=responses(*BODY, *STORE, StoreFull, StreamerNotFound, TooManyRecords),
)
async def rate_streamer(
    ratings: CurrentRatings, caller: CurrentCaller, audit: CurrentAudit, body: Checked[RatingIn]
) -> RatedOut:
    """Who rates and when comes from the key; a key has one rating of a streamer for a question.

    Ratings are kept when the streamer is deleted, and removed when it is erased.
    """
    audit.about([body.streamer_id], action="rate")
    given, before = await ratings.give(
        body.question.domain(), body.streamer_id, body.rating, body.note, caller.key_id, caller.name
    )
    return RatedOut.model_validate({**vars(given), "before": before})


@router.get(
    "/ratings",
    operation_id="list_ratings",
    summary="List ratings, in pages",
    dependencies=[requires("search")],
    responses=responses(*STORE),
)
async def list_ratings(
    ratings: CurrentRatings,
    charges: CurrentCharges,
    question_id: Annotated[
        str | None, Query(pattern=_QUESTION_ID, description="Those of one question.")
    ] = None,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most ratings on a page.")] = 100,
) -> RatingPage:
    """Those of one question together, of all keys; a page of large ones ends before `limit`."""
    listing = "ratings" if question_id is None else f"ratings-{question_id}"
    after = place_of(cursor, listing)
    charges.reach("search", hits_units(limit))
    found, following = await ratings.page(question_id, after, limit)
    stored = await ratings.are_stored(found)
    return RatingPage(
        ratings=[
            RatingOut.model_validate({**vars(rating), "stored": is_stored})
            for rating, is_stored in zip(found, stored, strict=True)
        ],
        next_cursor=cursor_of(following, listing),
    )


@router.post(
    "/ratings:mine",
    operation_id="my_ratings",
    summary="What this key said of some streamers",
    dependencies=[requires("search")],
    responses=responses(*BODY, *STORE),
)
async def my_ratings(
    ratings: CurrentRatings, caller: CurrentCaller, charges: CurrentCharges, body: Checked[MineIn]
) -> MineOut:
    """For a page that shows hits of a question with the ratings that they have.

    Neither seeds nor streamers need to be stored.
    """
    charges.reach("search", hits_units(len(body.streamer_ids)))
    question = body.question.domain()
    found = await ratings.of_key(question.question_id, body.streamer_ids, caller.key_id)
    mine = [MyRatingOut.model_validate(vars(rating)) for rating in found]
    return MineOut(question_id=question.question_id, ratings=mine)


@router.delete(
    "/ratings",
    operation_id="take_rating_back",
    summary="Take a rating back",
    dependencies=[requires("search")],
    responses=responses(*STORE, StoreFull, RatingNotFound),
)
async def take_rating_back(
    ratings: CurrentRatings,
    caller: CurrentCaller,
    audit: CurrentAudit,
    question_id: Annotated[
        str,
        Query(
            pattern=_QUESTION_ID,
            description="As its rating says.",
            openapi_examples={"demo": {"value": "ea8d52470434a054"}},
        ),
    ],
    streamer_id: Annotated[
        str,
        Query(
            pattern=ID_PATTERN,
            min_length=1,
            max_length=128,
            description="Who was rated.",
            openapi_examples={"demo": {"value": "w0412"}},
        ),
    ],
) -> RatingOut:
    """What this key said; the answer is what it was. What other keys said stays."""
    audit.about([streamer_id])
    return RatingOut.model_validate(
        vars(await ratings.take_back(question_id, streamer_id, caller.key_id))
    )
