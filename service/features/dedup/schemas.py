"""Near-duplicates of a list, or the list spread out."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from model_export.contract.streamer import StreamerId, StreamerProfile
from service.http.schemas import AfterSequence, MinPrecision, Request, Response


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
    min_precision: MinPrecision | None = None
    pictures: Annotated[
        bool | None,
        Field(
            description="Also join those who share two pictures or sounds or more, in copies. By "
            "default where neither threshold nor min_precision is given, which are about the score."
        ),
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
        if self.threshold is not None and self.min_precision is not None:
            raise ValueError("give one of: threshold, min_precision")
        return self


class MemberOut(Response):
    """A streamer of a cluster."""

    streamer_id: str
    score: Annotated[
        float, Field(description="Highest content cosine to another member that it is joined with.")
    ]
    copies: Annotated[
        int,
        Field(description="Most pictures and sounds of it that are copies of another member's."),
    ] = 0


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
    complete: bool
    incomplete_because: str | None = None
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
    complete: bool
    incomplete_because: str | None = None
    model_version: str
