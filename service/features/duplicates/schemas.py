"""Requests and responses of `/v1/duplicates` and `/v1/judgements`."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from model_export.contract.streamer import StreamerId
from service.http.schemas import Request, Response, with_nulls

GROUP_PATTERN = "^dup-[0-9a-f]{24}$"
EXAMPLE_GROUP = "dup-0f3c9a1b5e7d2c4a6b8f9e01"
_GROUP: dict[str, Any] = {
    "group_id": EXAMPLE_GROUP,
    "state": "live",
    "size": 2,
    "representative": "w0087",
    "created_at": 1862438400.1,
    "updated_at": 1862438400.9,
}
_EDGE: dict[str, Any] = {
    "a": "w0087",
    "b": "w0412",
    "weight": 0.93,
    "kind": "near_duplicate",
    "bridge": True,
}
_TIE: dict[str, Any] = {
    "streamer_id": "w0412",
    "weight": 0.93,
    "kind": "near_duplicate",
    "in_group": True,
}
_GIVEN: dict[str, Any] = {"a": "w0087", "b": "w0412", "verdict": "same", "note": "same voice"}
_JUDGEMENT: dict[str, Any] = {
    **_GIVEN,
    "key_id": "3f9c1a2b7d04",
    "key_name": "desk 2",
    "at": 1862438400.1,
}
_PAIR = {"a": "w0087", "b": "w0101"}
Kind = Annotated[
    Literal["same_media", "near_duplicate", "same_contact", "same_style"],
    Field(description="What both show."),
]
Weight = Annotated[
    float, Field(description="Strength of the evidence; comparable within one model version.")
]
Evaluated = Annotated[
    int | None,
    Field(
        description="The last write (`sequence`) that the groups take into account; null before "
        "they are complete for the first time."
    ),
]
NextCursor = Annotated[
    str | None, Field(description="Fetches the next page; null on the last page.")
]


class GroupOut(Response):
    """A group of duplicates; times are seconds since 1970, UTC."""

    group_id: str
    state: Annotated[
        Literal["live", "merged", "split", "dissolved"],
        Field(description="What became of a group that is not live: an id always resolves."),
    ]
    size: Annotated[int, Field(description="Members; 0 unless it is live.")]
    representative: Annotated[
        str | None,
        Field(
            description="The member whose edges in the group weigh most together; among equals the "
            "first by id. null unless it is live."
        ),
    ]
    created_at: float
    updated_at: Annotated[float, Field(description="When its members or its state changed last.")]


class GroupPage(Response):
    """A page of live groups."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                with_nulls({"groups": [_GROUP], "next_cursor": None, "evaluated_sequence": 5002})
            ]
        }
    )

    groups: list[GroupOut]
    next_cursor: NextCursor
    evaluated_sequence: Evaluated


class EdgeOut(Response):
    """Two members that evidence takes for duplicates."""

    a: str
    b: str
    weight: Weight
    kind: Kind
    bridge: Annotated[
        bool | None,
        Field(
            description="Whether this edge alone holds two parts of the group together, beside "
            "pairs that are judged the same: look at it first. null in groups of more than 1,000."
        ),
    ]


class GroupDetailOut(GroupOut):
    """A group and a page of its members, with their edges to others of the group."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                with_nulls(
                    {
                        **_GROUP,
                        "successors": [],
                        "members": ["w0087", "w0412"],
                        "edges": [_EDGE],
                        "next_cursor": None,
                    }
                ),
                with_nulls(
                    {
                        **_GROUP,
                        "state": "merged",
                        "size": 0,
                        "representative": None,
                        "successors": ["dup-5e7d2c4a6b8f9e010f3c9a1b"],
                        "members": [],
                        "edges": [],
                        "next_cursor": None,
                    }
                ),
            ]
        }
    )

    successors: Annotated[
        list[str],
        Field(
            description="Live groups that have its members, if it is not live, the one with most "
            "first. Where it had more than 100 members who were stored when it ended, 100 are "
            "followed: in turns one of each group that took some in."
        ),
    ]
    members: Annotated[list[str], Field(description="In byte order.")]
    edges: Annotated[
        list[EdgeOut],
        Field(
            description="Of the members of this page with others of the group, the 50 strongest "
            "of each, each pair once; one with a member of another page may be on both. Of a "
            "member of a group of more than 1,000, the first 500 by their ids are looked at. "
            "Judged pairs without evidence have none."
        ),
    ]
    next_cursor: NextCursor


class TieOut(Response):
    """Another streamer that evidence takes for a duplicate of this one."""

    streamer_id: str
    weight: Weight
    kind: Kind
    in_group: Annotated[
        bool,
        Field(
            description="false where the edge was cut: by a judgement, as a weak bridge, or as a "
            "contact that more than sixteen show."
        ),
    ]


class StreamerDuplicatesOut(Response):
    """The group of a streamer, and its edges."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                with_nulls(
                    {
                        "streamer_id": "w0087",
                        "group": _GROUP,
                        "duplicates": [_TIE],
                        "evaluated_sequence": 5002,
                    }
                ),
                with_nulls(
                    {
                        "streamer_id": "w0087",
                        "group": None,
                        "duplicates": [],
                        "evaluated_sequence": 5002,
                    }
                ),
            ]
        }
    )

    streamer_id: str
    group: Annotated[GroupOut | None, Field(description="null if it is in none.")]
    duplicates: Annotated[list[TieOut], Field(description="The strongest first.")]
    evaluated_sequence: Evaluated


class JudgementIn(Request):
    """What you know of a pair; it replaces what was judged of the pair before."""

    model_config = ConfigDict(json_schema_extra={"examples": [_GIVEN]})

    a: StreamerId
    b: StreamerId
    verdict: Annotated[
        Literal["same", "different", "unsure"],
        Field(
            description="same: both are in one group from now on. different: never. unsure: as the "
            "evidence says."
        ),
    ]
    note: Annotated[str, Field(max_length=1000, description="For people.")] = ""


class PairOut(Response):
    """A pair, `a` below `b`."""

    a: str
    b: str


class JudgementOut(PairOut):
    """A judgement; `a` is below `b`."""

    verdict: Literal["same", "different", "unsure"]
    note: str
    key_id: Annotated[str, Field(description="Of the API key that gave it.")]
    key_name: str
    at: Annotated[float, Field(description="Seconds since 1970, UTC.")]


class GivenOut(JudgementOut):
    """A judgement that was given."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                with_nulls(
                    {
                        **_JUDGEMENT,
                        "before": {**_JUDGEMENT, "verdict": "unsure", "note": ""},
                        "overrules": [_PAIR],
                    }
                )
            ]
        }
    )

    before: Annotated[
        JudgementOut | None,
        Field(description="The judgement of the pair that this one replaces; null without one."),
    ]

    overrules: Annotated[
        list[PairOut],
        Field(
            description="Older judgements that this one contradicts: the newest wins, and they do "
            "not hold while it stands. Take back the one that is wrong. Those about a streamer "
            "that is not stored count nowhere."
        ),
    ]


class TakenBackOut(JudgementOut):
    """A judgement that was taken back."""

    model_config = ConfigDict(json_schema_extra={"examples": [with_nulls(_JUDGEMENT)]})


class ListedOut(JudgementOut):
    """A judgement, and whether it holds."""

    overruled_by: Annotated[
        list[PairOut],
        Field(
            description="Newer judgements that contradict it; empty if it holds, or if one of the "
            "two is not stored."
        ),
    ]


class JudgementPage(Response):
    """A page of judgements, in order of their pairs."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                with_nulls(
                    {"judgements": [{**_JUDGEMENT, "overruled_by": []}], "next_cursor": None}
                )
            ]
        }
    )

    judgements: list[ListedOut]
    next_cursor: NextCursor
