"""Requests and responses of `/v1/ratings`."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from model_export.contract.streamer import StreamerId
from service.errors import InvalidRequest
from service.features.ratings.questions import Question
from service.http.schemas import FilterIn, Request, Response, has_more_bytes, with_nulls

MOST_FILTER_BYTES = 16 << 10
"""Of a question that is rated for: each of its ratings has a copy."""
_QUESTION: dict[str, Any] = {"positive": ["w0087"], "negative": [], "filter": {}}
_RATING: dict[str, Any] = {
    "question_id": "ea8d52470434a054",
    "question": _QUESTION,
    "streamer_id": "w0412",
    "rating": 2,
    "note": "also cooks, another region",
    "key_id": "3f9c1a2b7d04",
    "key_name": "console",
    "at": 1767225600.0,
    "stored": True,
}
_Seeds = Annotated[
    list[StreamerId], Field(max_length=20, fail_fast=True, description="Ids of stored streamers.")
]


class QuestionIn(Request):
    """Who is searched for; how (strategy, k) does not belong to it."""

    positive: Annotated[_Seeds, Field(min_length=1)]
    negative: _Seeds = Field(default_factory=list[str])
    filter: FilterIn = FilterIn()

    def domain(self) -> Question:
        """The question that the use-cases know.

        Raises:
            InvalidRequest: its filter is too large to be kept.
        """
        if has_more_bytes(self.filter, MOST_FILTER_BYTES, compact=False):
            raise InvalidRequest.of(
                "/question/filter",
                f"has more than {MOST_FILTER_BYTES} bytes, the most of a question that is rated "
                "for: give it fewer conditions or values",
            )
        conditions = self.filter.model_dump(mode="json", exclude_defaults=True)
        return Question(self.positive, self.negative, conditions)


class RatingIn(Request):
    """How well a streamer fits a question, in place of what this key said before."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"question": {"positive": ["w0087"]}, "streamer_id": "w0412", "rating": 2}]
        }
    )

    question: QuestionIn
    streamer_id: Annotated[StreamerId, Field(description="Who is rated.")]
    rating: Annotated[
        int,
        Field(
            ge=0,
            le=3,
            strict=True,
            description="0: does not fit. 1: somewhat. 2: fits. 3: just what was wanted.",
        ),
    ]
    note: Annotated[
        str | None,
        Field(max_length=1000, description="For people; without it, that of the rating before."),
    ] = None


class MineIn(Request):
    """Some streamers, and the question that they may have been rated for."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"question": {"positive": ["w0087"]}, "streamer_ids": ["w0412", "w1001"]}]
        }
    )

    question: QuestionIn
    streamer_ids: Annotated[
        list[StreamerId],
        Field(min_length=1, max_length=500, fail_fast=True, description="Such as hits shown."),
    ]


class RatedQuestionOut(Response):
    """The question that was rated for."""

    positive: list[str]
    negative: list[str]
    filter: dict[str, Any]


class RatingOut(Response):
    """A rating."""

    model_config = ConfigDict(json_schema_extra={"examples": [_RATING]})

    question_id: Annotated[
        str, Field(description="The same for the same question, whatever the order of its seeds.")
    ]
    question: RatedQuestionOut
    streamer_id: str
    rating: int
    note: str
    key_id: Annotated[str, Field(description="Of the API key that rated.")]
    key_name: str
    at: Annotated[float, Field(description="Seconds since 1970, UTC.")]
    stored: Annotated[
        bool,
        Field(description="In lists: false where the streamer was deleted since."),
    ] = True


class RatedOut(RatingOut):
    """A rating that was given."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [with_nulls({**_RATING, "before": None})]}
    )

    before: Annotated[
        int | None, Field(description="What this key said before; null if it said nothing.")
    ]


class RatingPage(Response):
    """A page of ratings, those of one question together."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [with_nulls({"ratings": [_RATING], "next_cursor": None})]}
    )

    ratings: list[RatingOut]
    next_cursor: Annotated[
        str | None, Field(description="Fetches the next page; null on the last page.")
    ]


class MyRatingOut(Response):
    """What this key said of a streamer."""

    streamer_id: str
    rating: int
    note: str
    at: Annotated[float, Field(description="Seconds since 1970, UTC.")]


class MineOut(Response):
    """What this key said of some streamers for a question; those without a rating are absent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "question_id": _RATING["question_id"],
                    "ratings": [
                        {name: _RATING[name] for name in ("streamer_id", "rating", "note", "at")}
                    ],
                }
            ]
        }
    )

    question_id: Annotated[str, Field(description="Of the question, also if nobody is rated.")]
    ratings: list[MyRatingOut]
