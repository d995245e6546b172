"""Schema of a streamer profile, validated once at the edge and stored unchanged.

It covers everything a streamer shows, including content that only towers read. Unknown fields are
errors, so a misspelt field never becomes silently missing content. Texts are stored as written; the
featuriser normalises them (`contract.text`).
"""

import base64
from typing import Annotated, Any, Self, cast

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

MAX_DATA_CHARS = 64 << 20
"""Base64 of 48 MiB, more than any picture or sound that a tower reads."""
MOST_FIELDS = 64
"""More than any object of a profile or of a request has; attributes are bounded apart."""
MAX_ENCODED_ITEMS = 64
"""Most videos, and most lives, that are encoded: the newest; older ones are only stored."""

ID_PATTERN = r"^[.]*[A-Za-z0-9_:-][A-Za-z0-9._:-]*$"
"""Not only dots, since `.` and `..` would be removed from a URL path."""

URL_PATTERN = r"^https://[^\s/]\S*$"

StreamerId = Annotated[
    StrictStr,
    Field(
        pattern=ID_PATTERN,
        min_length=1,
        max_length=128,
        description="1 to 128 of A-Z a-z 0-9 . _ : - and not dots alone",
    ),
]
SpaceName = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9._:/-]{1,128}$")]
LARGEST_COMPONENT = 1e15
"""Largest vector component: float32 holds the sum of squares of 4,096 of them."""
FiniteFloat = Annotated[StrictFloat, Field(allow_inf_nan=False)]
VectorComponent = Annotated[FiniteFloat, Field(ge=-LARGEST_COMPONENT, le=LARGEST_COMPONENT)]
Seconds = Annotated[FiniteFloat, Field(ge=0)]
Tag = Annotated[StrictStr, Field(min_length=1, max_length=200)]


_ATTRIBUTE_RULE = (
    "must be a string of at most 500 characters, a finite number (64 bits), true or false"
)


def _is_attribute_value(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(_ATTRIBUTE_RULE)
    try:
        return check(value)
    except ValidationError:  # one error instead of one per type of the union
        raise ValueError(_ATTRIBUTE_RULE) from None


AttributeValue = Annotated[
    StrictBool | StrictInt | FiniteFloat | Annotated[StrictStr, Field(max_length=500)],
    WrapValidator(_is_attribute_value),
]


def has_few_fields(value: Any) -> Any:
    """Refuse an object with more fields than any has, by one error instead of one for each.

    Being Python, it also lets other threads run between two objects of a large body.
    """
    if isinstance(value, dict) and len(cast(dict[Any, Any], value)) > MOST_FIELDS:
        raise ValueError(f"has more than {MOST_FIELDS} fields; remove those that are not known")
    return cast(Any, value)


def _is_base64(value: str) -> str:
    try:
        base64.b64decode(value, validate=True)
    except ValueError as error:  # binascii.Error, or letters that are not ASCII
        raise ValueError(f"is not valid base64 ({error})") from None
    return value


class Record(BaseModel):
    """Base of all parts of a profile: strict, immutable, unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, str_strip_whitespace=False)
    _few_fields = model_validator(mode="before")(has_few_fields)


_MEDIA_FORMS = (
    frozenset({"data", "content_type"}),
    frozenset({"vector", "space"}),
    frozenset({"url"}),
    frozenset({"sha256"}),
)


class Media(Record):
    """One picture, frame or sound, as bytes, as a vector in a named space, or as a URL.

    Exactly one form is given: `data` + `content_type`, `vector` + `space`, `url`, or `sha256` of
    bytes that were read once and not kept.
    """

    data: (
        Annotated[
            StrictStr,
            Field(
                min_length=1,
                max_length=MAX_DATA_CHARS,
                description="The file, base64.",
                json_schema_extra={"contentEncoding": "base64"},
            ),
            AfterValidator(_is_base64),
        ]
        | None
    ) = None
    content_type: (
        Annotated[StrictStr, Field(pattern=r"^(image|audio|video)/[a-z0-9.+-]{1,100}$")] | None
    ) = None
    vector: (
        Annotated[list[VectorComponent], Field(min_length=1, max_length=4096, fail_fast=True)]
        | None
    ) = None
    space: SpaceName | None = None
    url: Annotated[StrictStr, Field(pattern=URL_PATTERN, max_length=2048)] | None = None

    sha256: Annotated[StrictStr, Field(pattern=r"^[0-9a-f]{64}$")] | None = None

    @model_validator(mode="after")
    def _exactly_one_form(self) -> Self:
        given = frozenset(name for name in Media.model_fields if getattr(self, name) is not None)
        if given not in _MEDIA_FORMS:
            raise ValueError(
                "needs exactly one of: data + content_type, vector + space, url, sha256"
            )
        return self


class Video(Record):
    """A published short video."""

    video_id: StreamerId
    title: Annotated[StrictStr, Field(max_length=500)] | None = None
    tags: Annotated[list[Tag], Field(max_length=64, fail_fast=True)] = []
    category: Annotated[StrictStr, Field(max_length=100)] | None = None
    published_at: AwareDatetime | None = None
    duration_s: Seconds | None = None
    cover: Media | None = None
    audio: Media | None = None


class Live(Record):
    """A past live session."""

    live_id: StreamerId
    title: Annotated[StrictStr, Field(max_length=500)] | None = None
    category: Annotated[StrictStr, Field(max_length=100)] | None = None
    started_at: AwareDatetime | None = None
    duration_s: Seconds | None = None
    cover: Media | None = None
    frames: Annotated[list[Media], Field(max_length=64)] = []
    audio: Media | None = None


class StreamerContent(Record):
    """Content of a streamer: the body of a write, whose URL carries the id."""

    name: Annotated[StrictStr, Field(max_length=200)] | None = None
    bio: Annotated[StrictStr, Field(max_length=5000)] | None = None
    tags: Annotated[list[Tag], Field(max_length=512, fail_fast=True)] = []
    category: Annotated[StrictStr, Field(max_length=100)] | None = None
    language: Annotated[StrictStr, Field(max_length=35)] | None = None
    attributes: Annotated[
        dict[Annotated[StrictStr, Field(min_length=1, max_length=64)], AttributeValue],
        Field(max_length=64, fail_fast=True, description="Facts to filter by; never encoded."),
    ] = {}
    avatar: Media | None = None
    videos: Annotated[list[Video], Field(max_length=1000)] = []
    lives: Annotated[list[Live], Field(max_length=1000)] = []


class StreamerProfile(StreamerContent):
    """Content of a streamer with its id: one line of `streamers.jsonl`, one stored record."""

    streamer_id: StreamerId

    def dump(self) -> dict[str, Any]:
        """JSON form without absent fields; `StreamerProfile(**p.dump()) == p`."""
        return self.model_dump(mode="json", exclude_none=True, exclude_defaults=True) | {
            "streamer_id": self.streamer_id
        }
