"""Requests and responses of `/v1/outreach`."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from model_export.contract.streamer import StreamerId
from service.http.schemas import Request, Response

MOST_IDS = 10_000
"""Of one record: as many as a list may have."""
OUTREACH_PATTERN = "^[0-9a-f]{28}$"
EXAMPLE_OUTREACH = "019a1b2c3d4e5f60718293a4b5c6"
LATEST = 1e11
"""Seconds since 1970; what is above was given in milliseconds."""
_GIVEN: dict[str, Any] = {"ids": ["w0087", "w0412"], "note": "spring campaign, first mail"}
_RECORD: dict[str, Any] = {
    "outreach_id": EXAMPLE_OUTREACH,
    **_GIVEN,
    "at": 1862438400.0,
    "key_id": "3f9c1a2b7d04",
    "key_name": "campaigns",
    "recorded_at": 1862438400.1,
}
OutreachTime = Annotated[
    float, Field(ge=0, lt=LATEST, allow_inf_nan=False, description="Seconds since 1970, UTC.")
]


class OutreachIn(Request):
    """Who was written to."""

    model_config = ConfigDict(json_schema_extra={"examples": [_GIVEN]})

    ids: Annotated[
        list[StreamerId],
        Field(
            min_length=1, max_length=MOST_IDS, fail_fast=True, description="Of stored streamers."
        ),
    ]
    at: OutreachTime | None = Field(
        default=None, description="When, in seconds since 1970, UTC; by default now."
    )
    note: Annotated[str, Field(max_length=2000, description="For people.")] = ""


class OutreachOut(Response):
    """Who was written to, when, and who says so; times are seconds since 1970, UTC."""

    model_config = ConfigDict(json_schema_extra={"examples": [_RECORD]})

    outreach_id: str
    ids: list[str]
    at: float
    note: str
    key_id: Annotated[str, Field(description="Of the API key that recorded it.")]
    key_name: Annotated[str, Field(description="The name of that key then.")]
    recorded_at: float


class OutreachPage(Response):
    """Records of outreach in the order in which they were made."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"outreach": [_RECORD], "next_cursor": None}]}
    )

    outreach: list[OutreachOut]
    next_cursor: Annotated[
        str | None, Field(description="Fetches the next page; null on the last page.")
    ] = None
