"""Requests and responses of `/v1/watchlists`."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from model_export.contract.streamer import StreamerContent, StreamerId
from service.http.schemas import Request, Response, ShowsSomething, with_nulls
from service.maxima import MOST_SEEDS

WATCHLIST_PATTERN = "^wl-[0-9a-f]{24}$"
EXAMPLE_WATCHLIST = "wl-0f3c9a1b5e7d2c4a6b8f9e01"
_GIVEN: dict[str, Any] = {
    "name": "noodle ring",
    "positive": [{"streamer_id": "w0087"}, {"profile": {"bio": "guitar music for cats"}}],
    "negative": [{"streamer_id": "w0000"}],
    "min_probability": 0.9,
    "mode": "on",
}
_COUNTS: dict[str, Any] = {"open": 2, "confirmed": 1, "dismissed": 0}
_LISTED: dict[str, Any] = {
    "watchlist_id": EXAMPLE_WATCHLIST,
    "revision": 41,
    "version": 1,
    "name": "noodle ring",
    "mode": "on",
    "min_probability": 0.9,
    "positive_count": 2,
    "negative_count": 1,
    "key_id": "3f9c1a2b7d04",
    "key_name": "desk 2",
    "created_at": 1862438400.1,
    "updated_at": 1862438400.1,
    "sweep": {"state": "done", "at": 1862438402.5, "streamers": 5000},
    "alerts": _COUNTS,
    "shadow_alerts": {"open": 0, "confirmed": 0, "dismissed": 0},
    "beyond": 0,
    "full": False,
}
_SHOWN: dict[str, Any] = {
    **_LISTED,
    "positive": [
        {"streamer_id": "w0087", "case_id": None, "profile": None},
        {"streamer_id": None, "case_id": None, "profile": {"bio": "guitar music for cats"}},
    ],
    "negative": [{"streamer_id": "w0000", "case_id": None, "profile": None}],
    "not_stored": [],
    "cleared": [],
}
MinProbability = Annotated[
    float,
    Field(
        gt=0,
        le=1,
        allow_inf_nan=False,
        description="Calibrated probability that a streamer is the same as a seed, as `POST "
        "/v1/compare` tells it. From it on a streamer matches.",
    ),
]
Mode = Annotated[
    Literal["shadow", "on"],
    Field(
        description="shadow: alerts are kept and counted, and not delivered: neither by `GET "
        "/v1/alerts` unless asked for, nor by the feed of events. Turned on, the list is swept "
        "again, and delivers the open ones that still match."
    ),
]


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    ShowsSomething,
    Field(description="For people."),
]


class WatchedSeedIn(Request):
    """An example: exactly one of streamer_id, profile, case_id."""

    streamer_id: StreamerId | None = None
    profile: StreamerContent | None = None
    case_id: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=128,
            description="All confirmed members of a case; those that were cleared "
            "in it raise no alert, unless they show other content.",
        ),
    ] = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(v is not None for v in (self.streamer_id, self.profile, self.case_id)) != 1:
            raise ValueError("needs exactly one of: streamer_id, profile, case_id")
        return self


class WatchlistIn(Request):
    """What to look for. Seeds are taken as they are now: put the list again to take them anew."""

    model_config = ConfigDict(json_schema_extra={"examples": [_GIVEN]})

    name: Name
    positive: Annotated[
        list[WatchedSeedIn],
        Field(
            min_length=1,
            max_length=MOST_SEEDS,
            fail_fast=True,
            description="A streamer matches by the one that it is most probably the same as.",
        ),
    ]
    negative: Annotated[
        list[WatchedSeedIn],
        Field(
            default_factory=list[WatchedSeedIn],
            max_length=MOST_SEEDS,
            fail_fast=True,
            description="Cancel a match of whoever is as near to one of these.",
        ),
    ]
    min_probability: MinProbability
    mode: Mode = "on"


class WatchlistChangeIn(Request):
    """What of a watchlist is another one; what is left out, and its seeds, stay."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"mode": "on"}]})

    name: Name | None = None
    min_probability: MinProbability | None = None
    mode: Mode | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.name is self.min_probability is self.mode is None:
            raise ValueError("needs at least one of: name, min_probability, mode")
        return self


class SweepOut(Response):
    """Whether all stored streamers were matched with this version of the list."""

    state: Annotated[
        Literal["due", "done"],
        Field(description="due: a job (kind `watchlists`) is under way, or begins soon."),
    ]
    at: Annotated[float | None, Field(description="Seconds since 1970, UTC; null while due.")]
    streamers: Annotated[int | None, Field(description="How many there were; null while due.")]


class AlertCounts(Response):
    """Alerts by state."""

    open: int
    confirmed: int
    dismissed: int


class ListedWatchlistOut(Response):
    """A watchlist without its seeds."""

    watchlist_id: str
    revision: Annotated[int, Field(description="Send it as If-Match.")]
    version: Annotated[int, Field(description="Counts its changes, from 1.")]
    name: str
    mode: Mode
    min_probability: MinProbability
    positive_count: int
    negative_count: int
    key_id: Annotated[str, Field(description="Of the API key that wrote it last.")]
    key_name: str
    created_at: Annotated[float, Field(description="Seconds since 1970, UTC.")]
    updated_at: float
    sweep: SweepOut
    alerts: Annotated[AlertCounts, Field(description="Those that are delivered.")]
    shadow_alerts: AlertCounts
    beyond: Annotated[
        int,
        Field(
            description="Streamers that match and raised no alert, since the list was full, about: "
            "from 1,000 on it is an estimate (standard error 3%). Once alerts are decided, so that "
            "a tenth of the list's room or room for all of these is free, the list is swept again "
            "for them, which counts anew. Or ask for a higher min_probability."
        ),
    ]
    full: Annotated[
        bool,
        Field(
            description="Whether as many alerts are open, shadow ones included, as "
            "STREAMER_WATCHLISTS__MAX_OPEN_ALERTS allows: who else matches is counted in `beyond` "
            "until some are decided."
        ),
    ]


class SeedOut(Response):
    """A seed as it was given; a member of a case has its id and that of the case."""

    streamer_id: str | None
    case_id: str | None
    profile: Annotated[dict[str, Any] | None, Field(description="Only of a profile.")]


class WatchlistOut(ListedWatchlistOut):
    """A watchlist."""

    model_config = ConfigDict(json_schema_extra={"examples": [with_nulls(_SHOWN)]})

    positive: list[SeedOut]
    negative: list[SeedOut]
    not_stored: Annotated[
        list[str],
        Field(
            default_factory=list[str],
            description="Confirmed members of its cases that were not stored when the list was "
            "written: they are no seeds.",
        ),
    ]
    cleared: Annotated[
        list[str],
        Field(
            default_factory=list[str],
            description="Streamers that were cleared in the cases of `positive` when the list was "
            "written: they raise no alert with the content that they had then.",
        ),
    ]


class WatchlistPage(Response):
    """A page of watchlists, in order of their ids."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [with_nulls({"watchlists": [_LISTED], "next_cursor": None})]}
    )

    watchlists: list[ListedWatchlistOut]
    next_cursor: Annotated[
        str | None, Field(description="Fetches the next page; null on the last page.")
    ]


class DeletedWatchlistOut(Response):
    """The watchlist is no longer kept."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"watchlist_id": EXAMPLE_WATCHLIST}]})

    watchlist_id: str
