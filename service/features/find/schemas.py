"""Requests and responses of `streamers:find` and `streamers:facets`."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from model_export.contract.streamer import AttributeValue
from service.engine.names.matched import Matched
from service.http.schemas import AfterSequence, Complete, FilterIn, Request, Response, with_nulls

MOST_CHARS = 200
Text = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MOST_CHARS,
        description="A nickname or a part of one, a tag or a part of one, words of a bio, or an "
        "id. Two characters or more, besides blanks and punctuation, which don't count; nor do "
        "case, width, accents, traditional or simplified forms and disguises. Words of letters "
        "are whole; of what is written without blanks between words any part is found.",
    ),
]
MatchedBy = Annotated[
    Matched,
    Field(
        description="How it was found, the best first: id; name: the whole of it; name_beginning; "
        "name_part; tag; bio: all words of the question. Of equally good ones those with shorter "
        "names come first."
    ),
]
_LIMIT = Annotated[int, Field(ge=1, le=1000, description="Most streamers on a page.")]


class FindIn(Request):
    """What is searched for, and who may be in the answer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"q": "night", "filter": {"must": [{"field": "language", "any": ["en"]}]}}]
        }
    )

    q: Text
    filter: FilterIn = FilterIn()
    limit: _LIMIT = 20
    cursor: Annotated[
        str | None,
        Field(max_length=256, description="next_cursor of the page before, of the same question."),
    ] = None
    after_sequence: AfterSequence = 0


class FoundOut(Response):
    """A streamer that was found."""

    streamer_id: str
    matched: MatchedBy
    name: str | None = None
    category: str | None = None
    language: str | None = None
    tags: tuple[str, ...] = ()
    attributes: dict[str, AttributeValue] = Field(default_factory=dict[str, AttributeValue])


_FOUND: dict[str, Any] = {
    "streamer_id": "w0087",
    "matched": "name_beginning",
    "name": "night kitchen",
    "category": None,
    "language": "en",
    "tags": ["steamed buns"],
    "attributes": {"followers": 1200},
}


class FindOut(Response):
    """Streamers that were found, the best first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                with_nulls(
                    {
                        "streamers": [_FOUND],
                        "next_cursor": None,
                        "complete": True,
                        "incomplete_because": None,
                    }
                )
            ]
        }
    )

    streamers: list[FoundOut]
    next_cursor: Annotated[
        str | None,
        Field(
            description="Fetches the next page; null on the last one. A page has fewer streamers "
            "than `limit` where some were deleted meanwhile, or the filter lets few through."
        ),
    ]
    complete: Complete
    incomplete_because: str | None


class FacetsIn(Request):
    """Whose values are counted, and which."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "filter": {"must": [{"field": "language", "any": ["en"]}]},
                    "fields": ["category", "tags", "followers"],
                    "most": 10,
                }
            ]
        }
    )

    filter: FilterIn = FilterIn()
    fields: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=80)], ...],
        Field(
            min_length=1,
            max_length=20,
            fail_fast=True,
            description="Fields as in filters: language, category, tags, or attributes.",
        ),
    ] = ("category", "language", "tags")
    most: Annotated[int, Field(ge=1, le=1000, description="Values of each field.")] = 20
    after_sequence: AfterSequence = 0


class ValueCountOut(Response):
    """A value, and how many streamers have it."""

    value: AttributeValue
    count: int


class NumbersOut(Response):
    """How the numbers of an attribute are distributed."""

    count: Annotated[int, Field(description="How many streamers have a number.")]
    deciles: Annotated[
        list[float],
        Field(description="The lowest, those that 10 %, 20 %, … don't exceed, the highest."),
    ]


class FieldCountsOut(Response):
    """The values of one field."""

    field: str
    values: Annotated[
        list[ValueCountOut], Field(description="Those that most streamers have, in that order.")
    ]
    more: Annotated[bool, Field(description="Whether there are others, which are less frequent.")]
    numbers: Annotated[NumbersOut | None, Field(description="Null where no value is a number.")] = (
        None
    )


class FacetsOut(Response):
    """Counts of values."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                with_nulls(
                    {
                        "count": 1200,
                        "fields": [
                            {
                                "field": "category",
                                "values": [{"value": "food", "count": 130}],
                                "more": True,
                                "numbers": None,
                            }
                        ],
                        "known_fields": ["category", "followers", "language", "tags"],
                        "unknown_fields": [],
                        "complete": True,
                        "incomplete_because": None,
                    }
                )
            ]
        }
    )

    count: Annotated[
        int,
        Field(
            description="Streamers that the filter lets through, of those with usable content: who "
            "shows nothing that the model can use is in no answer that a filter is for. Who is "
            "written or deleted while they are counted may be missing in fields."
        ),
    ]
    fields: list[FieldCountsOut]
    known_fields: Annotated[
        list[str], Field(description="Fields that some streamer has, up to 200 of them.")
    ]
    unknown_fields: Annotated[
        list[str], Field(description="Of the question, those that no streamer has.")
    ]
    complete: Complete
    incomplete_because: str | None
