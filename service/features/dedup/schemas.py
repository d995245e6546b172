"""Request and responses of `POST /v1/dedup`."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from model_export.contract.streamer import StreamerId, StreamerProfile
from service.http.schemas import AfterSequence, Complete, MinPrecision, Request, Response
from service.maxima import MOST_DEDUP_ITEMS


class DedupIn(Request):
    """A list of stored streamers or of profiles: exactly one of ids and profiles."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"ids": ["w0056", "w4111", "w0088", "w4606", "w0087"], "mode": "clusters"},
                {"ids": ["w0056", "w4111", "w0088", "w4606", "w0087"], "mode": "feed"},
            ]
        }
    )

    ids: (
        Annotated[
            list[StreamerId], Field(min_length=1, max_length=MOST_DEDUP_ITEMS, fail_fast=True)
        ]
        | None
    ) = None
    profiles: (
        Annotated[
            list[StreamerProfile], Field(min_length=1, max_length=MOST_DEDUP_ITEMS, fail_fast=True)
        ]
        | None
    ) = None
    mode: Annotated[
        Literal["clusters", "feed"],
        Field(
            description="clusters: groups of near-duplicates. feed: the list in an order that "
            "keeps near-duplicates apart. Both go by what the streamers show: what people judged "
            "(`/v1/judgements`) counts in the groups of `/v1/duplicates` alone."
        ),
    ] = "clusters"
    threshold: Annotated[
        float | None,
        Field(
            gt=0,
            le=1,
            description="Lowest content cosine of near-duplicates; by default the model's. Above "
            "0.9999 it joins copies, whose cosines are rounded.",
        ),
    ] = None
    min_precision: MinPrecision | None = None
    pictures: Annotated[
        bool | None,
        Field(
            description="Also join streamers that share copies of two or more pictures or sounds; "
            "without a tower in the bundle neither bytes nor vectors count. "
            "Default: only where neither threshold nor min_precision is given. false there: nobody "
            "is joined by pictures, sounds or their vectors, and no weight counts them."
        ),
    ] = None
    window: Annotated[
        int,
        Field(
            ge=2,
            le=1000,
            description="Of mode feed alone: near-duplicates are at least this far apart.",
        ),
    ] = 3
    max_per_cluster: Annotated[
        int | None,
        Field(ge=1, description="Of mode feed alone: most streamers of a cluster in the order."),
    ] = None
    after_sequence: AfterSequence = 0

    @field_validator("window", "max_per_cluster")
    @classmethod
    def _of_a_feed(cls, value: int | None, info: ValidationInfo) -> int | None:
        assert info.field_name is not None
        is_default = value == cls.model_fields[info.field_name].default
        # `mode` stands above them, or it would not be known here.
        if info.data.get("mode") == "clusters" and not is_default:
            raise ValueError("is not used by mode clusters; leave it out, or ask for mode feed")
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.ids is None) == (self.profiles is None):
            raise ValueError("needs exactly one of: ids, profiles")
        if self.threshold is not None and self.min_precision is not None:
            raise ValueError("give one of: threshold, min_precision")
        return self


VerdictOut = Literal["same_media", "near_duplicate", "same_contact", "same_style", "unrelated"]
NotStored = Annotated[list[str], Field(description="Ids of the list that are not stored.")]


class MemberOut(Response):
    """A streamer of a cluster."""

    streamer_id: str
    score: Annotated[
        float, Field(description="Highest content cosine with a member that it is joined with.")
    ]
    copies: Annotated[
        int,
        Field(
            description="Most pictures and sounds that it shares with one member, as copies. "
            "Always 0 where the bundle has no picture and no sound tower."
        ),
    ] = 0
    joined_with: Annotated[
        str | None,
        Field(description="The member that it is joined with by the strongest evidence."),
    ] = None
    kind: Annotated[VerdictOut, Field(description="What the two are to each other.")] = (
        "near_duplicate"
    )
    weight: Annotated[
        float | None,
        Field(
            description="Match weight of the two in bits, see /v1/compare. null with threshold or "
            "min_precision."
        ),
    ] = None
    probability: Annotated[float | None, Field(description="That the two are the same.")] = None


class ClusterOut(Response):
    """A group of near-duplicates."""

    representative: Annotated[str, Field(description="The first of them in the list.")]
    members: list[MemberOut]


_CLUSTERS = [
    {
        "representative": first,
        "members": [
            {
                "streamer_id": member,
                "score": score,
                "copies": 0,
                "joined_with": other,
                "kind": "near_duplicate",
                "weight": 14.2,
                "probability": 0.997,
            }
            for member, other in ((first, second), (second, first))
        ],
    }
    for first, second, score in (("w0056", "w4111", 0.925), ("w0088", "w4606", 0.823))
]
_WHOLE: dict[str, Any] = {
    "threshold": 0.467,
    "clusters": _CLUSTERS,
    "not_stored": [],
    "complete": True,
    "incomplete_because": None,
    "model_version": "transfer-plus-a931f7997f06",
}


class DedupClustersOut(Response):
    """Clusters of two and more; every other streamer is in one of the two lists."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"mode": "clusters", "unique": ["w0087"], "not_comparable": [], **_WHOLE}]
        }
    )

    mode: Literal["clusters"] = "clusters"
    threshold: Annotated[float, Field(description="Lowest content cosine that joined two.")]
    clusters: list[ClusterOut]
    unique: list[str]
    not_comparable: Annotated[list[str], Field(description="Streamers without usable content.")]
    not_stored: NotStored
    complete: Complete
    incomplete_because: str | None = None
    model_version: str


class DedupFeedOut(Response):
    """The list in a new order."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "mode": "feed",
                    "order": ["w0056", "w0088", "w0087", "w4111", "w4606"],
                    "held_back": [],
                    "too_close": 0,
                    **_WHOLE,
                }
            ]
        }
    )

    mode: Literal["feed"] = "feed"
    threshold: Annotated[float, Field(description="Lowest content cosine that joined two.")]
    order: Annotated[list[str], Field(description="Near-duplicates apart, as far as possible.")]
    held_back: Annotated[list[str], Field(description="What max_per_cluster left out.")]
    too_close: Annotated[
        int, Field(description="Items nearer than the window, where no other item was left.")
    ]
    clusters: list[ClusterOut]
    not_stored: NotStored
    complete: Complete
    incomplete_because: str | None = None
    model_version: str
