"""Request and response of `POST /v1/cold-start`."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from model_export.contract.streamer import StreamerContent, StreamerId
from service.http.schemas import AfterSequence, Complete, Coverage, Request, Response, with_nulls


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
        Field(max_length=128, description="Name of the ID space; the model's by default."),
    ] = None
    neighbours: Annotated[int, Field(ge=1, description="Most neighbours.")] = 10
    after_sequence: AfterSequence = 0

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.streamer_id is None) == (self.profile is None):
            raise ValueError("needs exactly one of: streamer_id, profile")
        return self


class NeighbourOut(Response):
    """An established streamer that is near the new one."""

    streamer_id: str
    score: Annotated[float, Field(description="Cosine of the embeddings.")]
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
    vector: list[float]
    method: Annotated[
        Literal["predicted", "centroid"],
        Field(description="By the encoder, or the mean of all established streamers."),
    ]
    confidence: Annotated[
        float,
        Field(description="0 to 1: agreement of the prediction with the neighbours' vectors."),
    ]


class FallbackOut(Response):
    """Whether the answer is less than a prediction, and why."""

    used: bool
    reason: (
        Literal[
            "insufficient_content",
            "low_coverage",
            "no_established_neighbours",
            "model_has_no_id_space",
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
                        "vector": [0.1, -0.048, 0.02, 0.018],
                        "method": "predicted",
                        "confidence": 0.728,
                    },
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
                    "model_version": "transfer-plus-a931f7997f06",
                    "index_sequence": 5000,
                }
            ]
        }
    )

    neighbours: list[NeighbourOut]
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
    model_version: str
    index_sequence: Annotated[int, Field(description="Last write that the index has applied.")]
