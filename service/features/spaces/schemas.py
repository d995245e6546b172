"""Answers of spaces."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from service.http.schemas import Response, with_nulls

_CHECKS = [
    {
        "name": "width",
        "passed": True,
        "detail": "64 numbers, generation '2026-11-25' has 64",
        "value": 64,
        "limit": 64,
    },
    {
        "name": "neighbourhoods",
        "passed": True,
        "detail": "71.2% of the 20 nearest among 4096 streamers are those of generation "
        "'2026-11-25', 71.1% beyond chance",
        "value": 0.7106,
        "limit": 0.1,
    },
]
_GENERATION = {
    "generation": "2026-11-26",
    "state": "active",
    "created_at": 1795734000.0,
    "promoted_at": 1795734060.0,
    "key_id": "3f9c1a2b7d04",
    "dim": 64,
    "counts": {
        "streamers": 100000,
        "users": 1000000,
        "with_neighbours": 100000,
        "erased_streamers": 0,
        "erased_users": 0,
    },
    "has_interactions": True,
    "user_attributes": ["country"],
    "sha256": "6d1f0f3c4b7f7f0d7a2f4f6f8d4e1b7d5c0b9a8e7f6d5c4b3a29180706f5e4d3",
    "checks": _CHECKS,
}
_SPACE = {
    "space": "als-64",
    "active": {"generation": "2026-11-26", "created_at": 1795734000.0, "age_s": 3600.0},
    "previous": "2026-11-25",
    "serving": "2026-11-26",
    "problem": None,
    "generations": [_GENERATION],
}
State = Literal["checked", "refused", "active", "previous"]


class CheckOut(Response):
    """A check of a generation before it can serve."""

    name: Annotated[
        str,
        Field(
            description="width, finite, size, norms, duplicates, neighbours, known_ids, "
            "neighbourhoods, rotation, audiences or content."
        ),
    ]
    passed: Annotated[
        bool | None, Field(description="null: it could not be made, or only informs.")
    ]
    detail: Annotated[str, Field(description="What was found, and the remedy.")]
    value: Annotated[float | None, Field(description="What was measured.")] = None
    limit: Annotated[float | None, Field(description="What is asked for.")] = None


class CountsOut(Response):
    """How much a generation holds."""

    streamers: int
    users: int
    with_neighbours: Annotated[
        int, Field(description="Streamers that came with neighbours, by which they vote.")
    ]
    erased_streamers: Annotated[int, Field(description="Streamers that were erased from it since.")]
    erased_users: Annotated[int, Field(description="Users that were erased from it since.")]


class GenerationOut(Response):
    """A hand-over, as it is kept; it never changes."""

    model_config = ConfigDict(
        from_attributes=True, json_schema_extra={"examples": [with_nulls(_GENERATION)]}
    )

    generation: str
    state: Annotated[
        State,
        Field(
            description="`active` is served, `previous` was served before, `checked` may be "
            "promoted, `refused` failed its checks."
        ),
    ]
    created_at: Annotated[float, Field(description="Seconds since 1970.")]
    promoted_at: Annotated[
        float | None, Field(description="When it was promoted last; null = never.")
    ]
    key_id: Annotated[str, Field(description="Of the API key that handed it over.")]
    dim: Annotated[int, Field(description="Width of its vectors.")]
    counts: CountsOut
    has_interactions: bool
    user_attributes: Annotated[
        list[str], Field(description="Attributes of its users, which `user_filter` may name.")
    ]
    sha256: Annotated[str, Field(description="Of what was sent.")]
    checks: list[CheckOut]


class ActiveOut(Response):
    """What is served."""

    generation: str
    created_at: Annotated[float, Field(description="Seconds since 1970.")]
    age_s: Annotated[float, Field(description="Seconds since it was handed over.")]


class SpaceOut(Response):
    """A space and its generations."""

    model_config = ConfigDict(
        from_attributes=True, json_schema_extra={"examples": [with_nulls(_SPACE)]}
    )

    space: str
    active: Annotated[ActiveOut | None, Field(description="What is served; null = nothing yet.")]
    previous: Annotated[
        str | None, Field(description="What was served before, and `:rollback` serves again.")
    ]
    serving: Annotated[
        str | None,
        Field(description="What the replica that answers serves now: `active`, or soon."),
    ]
    problem: Annotated[
        str | None, Field(description="Why this replica can't load `active`; null = nothing.")
    ]
    generations: Annotated[list[GenerationOut], Field(description="The newest first.")]


class SpacesOut(Response):
    """All spaces."""

    model_config = ConfigDict(
        from_attributes=True, json_schema_extra={"examples": [{"spaces": [with_nulls(_SPACE)]}]}
    )

    spaces: list[SpaceOut]


class UserErasedOut(Response):
    """A user was erased."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"space": "als-64", "user_id": "u-1", "generations": 2}]}
    )

    space: str
    user_id: str
    generations: Annotated[int, Field(description="From how many generations.")]


class OwnVectorOut(Response):
    """What the generation that is served has of a streamer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "space": "als-64",
                    "generation": "2026-11-26",
                    "age_s": 3600.0,
                    "streamer_id": "w0087",
                    "is_established": True,
                    "interactions": 420.0,
                    "vector": [0.12, -0.5],
                }
            ]
        }
    )

    space: str
    generation: str
    age_s: Annotated[float, Field(description="Seconds since it was handed over.")]
    streamer_id: str
    is_established: Annotated[
        bool, Field(description="Has a vector of its own, learned from enough interactions.")
    ]
    interactions: Annotated[float | None, Field(description="null = not handed over.")] = None
    vector: Annotated[
        list[float] | None, Field(description="As it was handed over; null without one.")
    ] = None
    vector_reason: Annotated[
        str | None, Field(description="Why `vector` is null although there is one.")
    ] = None
