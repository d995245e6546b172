"""The JSON of requests and responses; see the OpenAPI document for examples."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr, model_validator

from model_export.contract.streamer import (
    FiniteFloat,
    StreamerContent,
    StreamerId,
    StreamerProfile,
)
from service.retrieval import filters, similar


class Request(BaseModel):
    """Base of request bodies: unknown fields are refused by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Response(BaseModel):
    """Base of responses."""

    model_config = ConfigDict(from_attributes=True)


AfterSequence = Annotated[
    int,
    Field(
        ge=0,
        le=2**53,
        description="Wait until the index has applied this sequence number of a write.",
    ),
]


# Streamers -----------------------------------------------------------------------------------


class StreamerBody(StreamerContent):
    """A profile; its id is in the address and may be repeated here."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "night-kitchen",
                    "bio": "每天晚上做家常菜, home cooking live",
                    "tags": ["美食", "cooking"],
                    "language": "zh",
                    "attributes": {"followers": 1200, "partner": False},
                    "videos": [{"video_id": "v1", "title": "红烧肉怎么做"}],
                }
            ]
        }
    )

    streamer_id: StreamerId | None = None

    def profile(self, streamer_id: str) -> StreamerProfile:
        """The profile under this id."""
        return StreamerProfile.model_construct(
            **{name: getattr(self, name) for name in StreamerContent.model_fields},
            streamer_id=streamer_id,
        )


class NearDuplicateOut(Response):
    """A stored streamer that shows nearly the same."""

    streamer_id: str
    score: Annotated[float, Field(description="Cosine of the content sketches.")]
    kind: Literal["near_duplicate"] = "near_duplicate"


class WrittenOut(Response):
    """An acknowledged write: it is on disk."""

    streamer_id: str
    version: Annotated[int, Field(description="Also the ETag; send it as If-Match.")]
    sequence: Annotated[int, Field(description="Send it as after_sequence to see this write.")]
    created: bool
    model_version: str
    status: Literal["indexed", "insufficient_content"]
    modalities: Annotated[
        dict[str, str], Field(description="used, absent, uninformative or unsupported")
    ]
    near_duplicates: list[NearDuplicateOut]


class DeletedOut(Response):
    """An acknowledged delete: it is on disk."""

    streamer_id: str
    sequence: int


class StreamerOut(Response):
    """What is stored of a streamer."""

    streamer_id: str
    version: int
    status: str
    modalities: dict[str, str]
    model_version: str
    updated_at: Annotated[float, Field(description="Seconds since 1970, UTC.")]
    profile: dict[str, Any]


class StreamerPage(Response):
    """A page of streamers in byte order of their ids."""

    streamers: list[StreamerOut]
    next_cursor: Annotated[str | None, Field(description="None on the last page.")]


class EmbeddingOut(Response):
    """The vector of a streamer; personal data."""

    streamer_id: str
    version: int
    model_version: str
    embedding: list[float]


# Similar -------------------------------------------------------------------------------------

Scalar = Annotated[StrictBool | int | float | StrictStr, Field(union_mode="smart")]


class ConditionIn(Request):
    """What one field must be. Fields: language, category, tags, or the name of an attribute."""

    field: Annotated[str, Field(min_length=1, max_length=80)]
    any: Annotated[list[Scalar], Field(min_length=1, max_length=1000)] | None = None
    all: Annotated[list[Scalar], Field(min_length=1, max_length=1000)] | None = None
    gt: FiniteFloat | None = None
    gte: FiniteFloat | None = None
    lt: FiniteFloat | None = None
    lte: FiniteFloat | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if len(self.model_fields_set) < 2:
            raise ValueError("needs at least one of: any, all, gt, gte, lt, lte")
        return self


class FilterIn(Request):
    """All of `must` hold and none of `must_not`."""

    must: Annotated[list[ConditionIn], Field(max_length=50)] = []
    must_not: Annotated[list[ConditionIn], Field(max_length=50)] = []

    def domain(self) -> filters.Filter:
        """The filter that the use-cases know."""
        return filters.Filter(
            [filters.Condition(**c.model_dump()) for c in self.must],
            [filters.Condition(**c.model_dump()) for c in self.must_not],
        )


class SeedIn(Request):
    """One example: exactly one of streamer_id, profile, vector."""

    streamer_id: StreamerId | None = None
    profile: StreamerContent | None = None
    vector: Annotated[list[FiniteFloat], Field(min_length=1, max_length=4096)] | None = None
    weight: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = 1.0

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(v is not None for v in (self.streamer_id, self.profile, self.vector)) != 1:
            raise ValueError("needs exactly one of: streamer_id, profile, vector")
        return self

    def domain(self) -> similar.Seed:
        """The seed that the use-cases know."""
        profile = None
        if self.profile is not None:
            fields = {n: getattr(self.profile, n) for n in StreamerContent.model_fields}
            profile = StreamerProfile.model_construct(streamer_id="seed", **fields)
        return similar.Seed(self.streamer_id, profile, self.vector, self.weight)


class SimilarIn(Request):
    """Seeds, wanted and unwanted, and what the answer must look like."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "positive": [{"streamer_id": "s-1"}, {"profile": {"tags": ["cooking"]}}],
                    "negative": [{"streamer_id": "s-2"}],
                    "k": 10,
                    "filter": {
                        "must": [
                            {"field": "language", "any": ["zh"]},
                            {"field": "followers", "gte": 100},
                        ]
                    },
                    "explain": True,
                }
            ]
        }
    )

    positive: Annotated[list[SeedIn], Field(min_length=1)]
    negative: list[SeedIn] = []
    strategy: Annotated[
        similar.Strategy,
        Field(
            description="average: cosine with the mean of the positive seeds, minus that with the "
            "negative mean, halved. best_score: the best cosine with any positive seed, negative "
            "when a negative seed is nearer. sum: weighted sum of all cosines."
        ),
    ] = "average"
    k: Annotated[int, Field(ge=1)] = 10
    min_score: Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)] | None = None
    filter: FilterIn = FilterIn()
    explain: bool = False
    exact: Annotated[
        bool,
        Field(description="Scan everything. This index always does, so every answer is exact."),
    ] = False
    after_sequence: AfterSequence = 0


class ReasonsOut(Response):
    """Why a streamer is in the answer."""

    nearest_seed: str
    content_similarity: Annotated[
        float | None, Field(description="Cosine of the content sketches with the nearest seed.")
    ]
    shared: Annotated[dict[str, list[str]], Field(description="Tags, category, language of both.")]


class HitOut(Response):
    """One streamer of the answer."""

    streamer_id: str
    score: float
    rank: int
    reasons: ReasonsOut | None = None


class SimilarOut(Response):
    """The answer; never cut without saying so."""

    hits: list[HitOut]
    complete: bool
    incomplete_because: str | None = None
    exact: bool = True
    model_version: str
    index_sequence: int
    took_ms: float


# Cold start ----------------------------------------------------------------------------------


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
    score: float
    weight: Annotated[float, Field(description="Share of all neighbours; they sum to 1.")]


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
    model_version: str
    index_sequence: int


# Dedup ---------------------------------------------------------------------------------------


class DedupIn(Request):
    """A list of stored streamers, or of profiles; exactly one of them."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"ids": ["s-1", "s-2", "s-3"], "mode": "clusters"}]}
    )

    ids: Annotated[list[StreamerId], Field(min_length=1)] | None = None
    profiles: Annotated[list[StreamerProfile], Field(min_length=1)] | None = None
    mode: Literal["clusters", "feed"] = "clusters"
    threshold: Annotated[
        float | None,
        Field(gt=0, le=1, description="Content cosine; the model's calibrated one by default."),
    ] = None
    window: Annotated[
        int, Field(ge=2, le=1000, description="feed: near-duplicates stand so far apart.")
    ] = 3
    max_per_cluster: Annotated[
        int | None, Field(ge=1, description="feed: the rest of a cluster is held back.")
    ] = None
    after_sequence: AfterSequence = 0

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.ids is None) == (self.profiles is None):
            raise ValueError("needs exactly one of: ids, profiles")
        return self


class MemberOut(Response):
    """A streamer of a cluster."""

    streamer_id: str
    score: Annotated[float, Field(description="Highest content cosine to another member.")]


class ClusterOut(Response):
    """Near-duplicates of each other."""

    representative: str
    members: list[MemberOut]


class DedupClustersOut(Response):
    """Clusters of two and more; everyone else is in one of the two lists."""

    mode: Literal["clusters"] = "clusters"
    threshold: float
    clusters: list[ClusterOut]
    unique: list[str]
    not_comparable: Annotated[list[str], Field(description="Without usable content.")]
    model_version: str


class DedupFeedOut(Response):
    """The list re-ordered."""

    mode: Literal["feed"] = "feed"
    threshold: float
    order: list[str]
    held_back: list[str]
    too_close: Annotated[
        int, Field(description="Items nearer than the window, since nothing else was left.")
    ]
    clusters: list[ClusterOut]
    model_version: str


# Health --------------------------------------------------------------------------------------


class HealthOut(Response):
    """The state of the service and of what it stands on."""

    status: Literal["ok", "unavailable"]
    model_version: str
    device: str
    index_rows: int
    index_sequence: int
    store: str
    reason: str | None = None
