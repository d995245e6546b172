"""A new streamer in the recommender's own terms."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from model_export.contract.streamer import StreamerContent, StreamerId
from service.http.schemas import AfterSequence, Request, Response


class ColdStartIn(Request):
    """A stored streamer or a profile; exactly one of them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"profile": {"name": "new-chef", "tags": ["美食"]}, "neighbours": 10}]
        }
    )

    streamer_id: StreamerId | None = None
    profile: StreamerContent | None = None
    space: Annotated[
        str | None, Field(max_length=128, description="The ID space; the model's by default.")
    ] = None
    neighbours: Annotated[int, Field(ge=1)] = 10
    after_sequence: AfterSequence = 0

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.streamer_id is None) == (self.profile is None):
            raise ValueError("needs exactly one of: streamer_id, profile")
        return self


class NeighbourOut(Response):
    """An established streamer."""

    streamer_id: str
    score: Annotated[float, Field(description="Cosine of the embeddings.")]
    weight: Annotated[float, Field(description="Share of all neighbours; they sum to 1.")]
    via: Annotated[
        list[str],
        Field(
            description="The established streamers most alike to the new one whose audience "
            "watches this one, the weightiest first; this one itself among them where it is alike. "
            "Empty when cosines alone decided."
        ),
    ]


class IdEmbeddingOut(Response):
    """A vector in the recommender's own ID space."""

    space: str
    vector: list[float]
    method: Literal["predicted", "centroid"]
    confidence: Annotated[
        float,
        Field(description="0 to 1: agreement of the prediction with the neighbours' vectors."),
    ]


class FallbackOut(Response):
    """Whether something less than a prediction was given, and why."""

    used: bool
    reason: (
        Literal["insufficient_content", "no_established_neighbours", "model_has_no_id_space"] | None
    )


class ColdStartOut(Response):
    """A new streamer in the recommender's own terms."""

    neighbours: list[NeighbourOut]
    id_embedding: IdEmbeddingOut | None
    fallback: FallbackOut
    modalities: dict[str, str]
    complete: bool
    incomplete_because: str | None = None
    model_version: str
    index_sequence: int
