"""Requests and responses of `POST /v1/cold-start`, and of its batch."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from model_export.contract.streamer import StreamerContent, StreamerId
from service.http.schemas import (
    AfterSequence,
    Complete,
    Coverage,
    FieldProblem,
    FilterIn,
    Request,
    Response,
    StoreSequence,
    with_nulls,
)
from service.maxima import MOST_EXCLUDED_USERS, MOST_USER_ID_CHARS

UserId = Annotated[str, Field(min_length=1, max_length=MOST_USER_ID_CHARS)]


class ColdStartIn(Request):
    """A new streamer: exactly one of streamer_id and profile."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "profile": {
                        "name": "night kitchen",
                        "bio": "Handmade noodles, one recipe every Friday",
                        "tags": ["steamed buns", "flour"],
                    },
                    "neighbours": 10,
                }
            ]
        }
    )

    streamer_id: StreamerId | None = None
    profile: StreamerContent | None = None
    space: Annotated[
        str | None,
        Field(
            max_length=128,
            description="Name of the ID space; by default the one that was handed over, or else "
            "the model's. Where several were handed over, and none under the model's name, it has "
            "to be told.",
        ),
    ] = None
    neighbours: Annotated[int, Field(ge=1, description="Most neighbours.")] = 10
    users: Annotated[
        int,
        Field(
            ge=0,
            description="Most users, of those that the recommender handed over, that are likely "
            "interested.",
        ),
    ] = 0
    exclude_users: Annotated[
        list[UserId],
        Field(
            max_length=MOST_EXCLUDED_USERS,
            fail_fast=True,
            description="Users that are left out; unknown ones change nothing.",
        ),
    ] = Field(default_factory=list[str])
    min_score: Annotated[
        float | None, Field(allow_inf_nan=False, description="Lowest score of a user.")
    ] = None
    user_filter: Annotated[
        FilterIn,
        Field(
            description="Which users may be in the answer, by the attributes that the recommender "
            "handed over with them."
        ),
    ] = FilterIn()
    min_interactions: Annotated[
        float | None,
        Field(
            ge=0,
            allow_inf_nan=False,
            description="Interactions from which on a streamer counts as established; by default "
            "as the settings say.",
        ),
    ] = None
    deadline_ms: Annotated[
        int | None,
        Field(
            ge=1,
            le=600_000,
            description="Answer by then with what is ready; `missing` says what is not.",
        ),
    ] = None
    after_sequence: AfterSequence = 0

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.streamer_id is None) == (self.profile is None):
            raise ValueError("needs exactly one of: streamer_id, profile")
        return self


class NeighbourOut(Response):
    """An established streamer that is near the new one."""

    streamer_id: str
    score: Annotated[
        float | None,
        Field(description="Cosine of the embeddings; null where the new one shows nothing."),
    ]
    weight: Annotated[float, Field(description="Share of this neighbour; all weights sum to 1.")]
    via: Annotated[
        list[str],
        Field(
            description="The established streamers most similar to the new one whose audience "
            "watches this neighbour too, largest share first; the neighbour itself where it is "
            "similar. Empty where cosines alone decide."
        ),
    ]


class IdEmbeddingOut(Response):
    """A vector in the recommender's own ID space."""

    space: str
    generation: Annotated[
        str | None,
        Field(
            description="Whose vectors it can be compared with, and no others; null where the "
            "space is the bundle's own."
        ),
    ] = None
    age_s: Annotated[
        float | None, Field(description="Seconds since the generation was handed over.")
    ] = None
    vector: Annotated[
        list[float] | None,
        Field(
            description="Null where the key may not see it; see id_embedding_unavailable_because."
        ),
    ]
    source: Annotated[
        Literal["own", "blended", "mapped", "neighbours", "centroid"],
        Field(
            description="`own`: learned by the recommender. `blended`: learned from little, and "
            "shrunk towards the prediction. `mapped`: predicted from content by a map. "
            "`neighbours`: predicted as the mean of the nearest. `centroid`: the mean of a "
            "category, or of all."
        ),
    ]
    method: Annotated[str, Field(description="How it was made, in detail; for people.")]
    confidence: Annotated[
        float | None,
        Field(
            description="0 to 1. In a space that is handed over: the expected cosine with the "
            "vector that will be learned, null where that is not known well enough. In the "
            "bundle's own: agreement of the prediction with the neighbours' vectors."
        ),
    ]
    confidence_withheld_because: Annotated[
        str | None, Field(description="Why there is no confidence.")
    ] = None


class UserOut(Response):
    """A user that is likely interested."""

    user_id: str
    score: Annotated[float, Field(description="Inner product of both vectors, norms included.")]


class FallbackOut(Response):
    """Whether the answer is less than a prediction, and why."""

    used: bool
    reason: (
        Literal[
            "insufficient_content",
            "low_coverage",
            "no_established_neighbours",
            "model_has_no_id_space",
            "deadline",
        ]
        | None
    )


class ColdStartOut(Response):
    """Neighbours of a new streamer, and its vector in the recommender's ID space."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "neighbours": [
                        {"streamer_id": "w2944", "score": 0.869, "weight": 0.51, "via": ["w1599"]},
                        {"streamer_id": "w0661", "score": 0.863, "weight": 0.49, "via": ["w0661"]},
                    ],
                    "id_embedding": {
                        "space": "als",
                        "generation": "2026-11-27",
                        "age_s": 18204.5,
                        "vector": [0.1, -0.048, 0.02, 0.018],
                        "source": "mapped",
                        "method": "ridge 0.62 + neighbours 0.38",
                        "confidence": 0.628,
                    },
                    "users": [{"user_id": "u2031", "score": 0.871}],
                    "fallback": with_nulls({"used": False, "reason": None}),
                    "modalities": {
                        "name": "used",
                        "bio": "used",
                        "tags": "used",
                        "videos": "absent",
                    },
                    "coverage": 0.849,
                    "complete": True,
                    "incomplete_because": None,
                    "missing": [],
                    "took_ms": 3.182,
                    "model_version": "transfer-plus-a931f7997f06",
                    "index_sequence": 5000,
                }
            ]
        }
    )

    neighbours: list[NeighbourOut]
    users: Annotated[
        list[UserOut] | None,
        Field(description="The most likely first; null where they can't be found."),
    ] = None
    users_unavailable_because: Annotated[
        str | None, Field(description="Why there are no users.")
    ] = None
    unknown_user_fields: Annotated[
        list[str],
        Field(
            default_factory=list[str],
            description="Fields of user_filter that no user has, such as misspelled ones.",
        ),
    ]
    id_embedding: IdEmbeddingOut | None
    id_embedding_unavailable_because: Annotated[
        str | None,
        Field(description="Why a vector is not shown: the key lacks the scope embeddings:read."),
    ] = None
    fallback: FallbackOut
    modalities: Annotated[
        dict[str, str], Field(description="used, absent, uninformative or unsupported, each.")
    ]
    coverage: Coverage
    complete: Complete
    incomplete_because: str | None = None
    missing: Annotated[
        list[Literal["id_embedding", "neighbours", "users"]],
        Field(
            default_factory=list[Literal["id_embedding", "neighbours", "users"]],
            description="What was not ready by deadline_ms.",
        ),
    ]
    took_ms: Annotated[float, Field(description="Time in the service, in milliseconds.")]
    model_version: str
    index_sequence: Annotated[int, Field(description="Last write that the index has applied.")]


class BatchProblemOut(Response):
    """Why a line has no answer."""

    code: str
    detail: str
    errors: Annotated[list[FieldProblem], Field(default_factory=list[FieldProblem])]
    store_sequence: StoreSequence = None


class ColdStartLineOut(Response):
    """The answer to a line, or what is wrong with it."""

    line: Annotated[int, Field(ge=1, description="Of the request.")]
    answer: ColdStartOut | None = None
    problem: BatchProblemOut | None = None


LINES_ANSWER = [
    {
        "line": 1,
        "problem": {
            "code": "streamer_not_found",
            "detail": "streamer 'w9999' is not stored",
            "errors": [{"pointer": "/streamer_id", "detail": "streamer 'w9999' is not stored"}],
        },
    }
]
