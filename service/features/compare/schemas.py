"""Request and response of `POST /v1/compare`."""

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import ConfigDict, Field, model_validator

from model_export.contract.streamer import StreamerContent, StreamerId
from service.http.schemas import Request, Response, with_nulls

ChannelName = Literal[
    "text",
    "names",
    "contacts",
    "titles",
    "tags",
    "category_language",
    "pictures",
    "sounds",
    "vectors",
    "embedding",
]
"""Of `model_export.contract.evidence.CHANNELS`, which the client need not import."""


class SideIn(Request):
    """One of the two that are compared: exactly one of streamer_id and profile."""

    streamer_id: StreamerId | None = None
    profile: StreamerContent | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.streamer_id is None) == (self.profile is None):
            raise ValueError("needs exactly one of: streamer_id, profile")
        return self


class CompareIn(Request):
    """Two sides."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"a": {"streamer_id": "w0056"}, "b": {"streamer_id": "w4111"}},
                {
                    "a": {"streamer_id": "w0056"},
                    "b": {"profile": {"name": "night kitchen", "bio": "Handmade noodles"}},
                    "without": ["embedding"],
                },
            ]
        }
    )

    a: SideIn
    b: SideIn
    without: Annotated[
        list[ChannelName],
        Field(
            default_factory=list[ChannelName],
            max_length=len(get_args(ChannelName)),
            fail_fast=True,
            description="Channels that are left out: each contributes 0.",
        ),
    ]


class QuoteOut(Response):
    """What both sides show, in their own words."""

    a: Annotated[str, Field(description="Words of a; empty for pictures, sounds and vectors.")]
    b: str
    a_source: Annotated[str, Field(description="Where in a's profile, as videos[0].title.")]
    b_source: str
    a_undone: Annotated[
        str | None,
        Field(description="Words of a without their disguises; null where they have none."),
    ] = None
    b_undone: str | None = None


class ChannelOut(Response):
    """What one channel adds to the match weight."""

    channel: ChannelName
    weight: Annotated[
        float,
        Field(
            description="Bits, log2(m / u) of the level: above 0 for what pairs that are the same "
            "show more often than others. 0 where it is absent or left out."
        ),
    ]
    state: Annotated[
        Literal["agrees", "differs", "absent"],
        Field(description="absent: a side does not show it, which is no difference."),
    ]
    level: Annotated[
        str | None, Field(description="How far the two agree; null where it is absent.")
    ]
    quotes: list[QuoteOut]
    disguises: Annotated[list[str], Field(description="Disguises that were undone in the quotes.")]


_EXAMPLE: dict[str, Any] = {
    "verdict": "near_duplicate",
    "probability": 0.9996,
    "weight": 19.2,
    "threshold": 6.1,
    "channels": [
        {
            "channel": "text",
            "weight": 11.9,
            "state": "agrees",
            "level": "whole",
            "quotes": [
                {
                    "a": "Handmade noodles, one recipe every Friday",
                    "b": "H a n d m a d e  nood1es, one recipe every Friday",
                    "a_source": "bio",
                    "b_source": "bio",
                    "b_undone": "handmade noodles, one recipe every friday",
                }
            ],
            "disguises": ["spaced", "leetspeak"],
        },
        {
            "channel": "tags",
            "weight": 7.3,
            "state": "agrees",
            "level": "rare",
            "quotes": [{"a": "flour", "b": "flour", "a_source": "tags[0]", "b_source": "tags[2]"}],
            "disguises": [],
        },
        {
            "channel": "contacts",
            "weight": 0.0,
            "state": "absent",
            "level": None,
            "quotes": [],
            "disguises": [],
        },
    ],
    "warnings": [],
    "model_version": "transfer-plus-a931f7997f06",
}


class CompareOut(Response):
    """The verdict, and the waterfall of its evidence: weights of channels add up to the weight."""

    model_config = ConfigDict(json_schema_extra={"examples": [with_nulls(_EXAMPLE)]})

    verdict: Annotated[
        Literal["same_media", "near_duplicate", "same_contact", "same_style", "unrelated"],
        Field(
            description="The first three are the same, by the pictures, sounds and vectors, by "
            "what they say, or by a contact that both name. same_style: of one kind, and not the "
            "same."
        ),
    ]
    probability: Annotated[
        float, Field(ge=0, le=1, description="That the two are the same, by the model's prior.")
    ]
    weight: Annotated[float, Field(description="Match weight in bits.")]
    threshold: Annotated[float, Field(description="Match weight from which two are the same.")]
    channels: list[ChannelOut]
    warnings: Annotated[
        list[str], Field(description="Why the answer may be less than it could be.")
    ]
    model_version: str
