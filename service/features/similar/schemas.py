"""Similar streamers: seeds, filters, hits."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, StrictBool, StrictStr, model_validator

from model_export.contract.streamer import (
    FiniteFloat,
    StreamerContent,
    StreamerId,
    StreamerProfile,
)
from service.features.similar import seeds
from service.http.schemas import AfterSequence, MinPrecision, Request, Response
from service.index import filters
from service.index.query import Strategy

Scalar = Annotated[StrictBool | int | float | StrictStr, Field(union_mode="smart")]


class ConditionIn(Request):
    """A condition on one field.

    Fields: streamer_id, language, category, tags, or the name of an attribute.
    """

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

    must: Annotated[tuple[ConditionIn, ...], Field(max_length=50)] = ()
    must_not: Annotated[tuple[ConditionIn, ...], Field(max_length=50)] = ()

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

    def domain(self) -> seeds.Seed:
        """The seed that the use-cases know."""
        profile = None
        if self.profile is not None:
            fields = {n: getattr(self.profile, n) for n in StreamerContent.model_fields}
            profile = StreamerProfile.model_construct(streamer_id="seed", **fields)
        return seeds.Seed(self.streamer_id, profile, self.vector, self.weight)


class SeedsIn(Request):
    """Seeds, wanted and unwanted, and who may be in the answer."""

    positive: Annotated[list[SeedIn], Field(min_length=1)]
    negative: tuple[SeedIn, ...] = ()
    strategy: Annotated[
        Strategy,
        Field(
            description="average: cosine with the mean of the positive seeds, minus that with the "
            "negative mean, halved. best_score: the best cosine with any positive seed, negative "
            "when a negative seed is nearer. sum: weighted sum of all cosines."
        ),
    ] = "average"
    min_score: Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)] | None = None
    min_precision: MinPrecision | None = None
    filter: FilterIn = FilterIn()
    after_sequence: AfterSequence = 0

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if self.min_score is not None and self.min_precision is not None:
            raise ValueError("give one of: min_score, min_precision")
        return self


class ExportIn(SeedsIn):
    """Seeds and the score that everyone in the answer must reach."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"positive": [{"streamer_id": "s-1"}], "min_precision": 0.9}]
        }
    )

    @model_validator(mode="after")
    def _a_limit(self) -> Self:
        if self.min_score is None and self.min_precision is None:
            raise ValueError("needs one of: min_score, min_precision")
        return self


class SimilarIn(SeedsIn):
    """Seeds, and what the answer must look like."""

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

    k: Annotated[int, Field(ge=1)] = 10
    explain: Annotated[
        bool,
        Field(
            description="Give reasons for each hit. Hit and seed are encoded again without each "
            "modality, so k may be less than otherwise."
        ),
    ] = False
    exact: Annotated[
        bool,
        Field(
            description="Look at every streamer. Otherwise, where there are very many, an answer "
            "to one seed without filter and min_score may miss a hundredth of the nearest; `exact` "
            "of the answer says whether it may have."
        ),
    ] = False
    pages: Annotated[
        bool,
        Field(
            description="Everyone who reaches min_score or min_precision, however many, k to a "
            "page; GET /v1/similar?cursor= gives the next one. All are of the question's moment."
        ),
    ] = False


class SameContentOut(Response):
    """Where two profiles show one content, or a copy of it."""

    seed: Annotated[str, Field(description="Where the seed shows it.", examples=["avatar"])]
    hit: Annotated[str, Field(description="Where the hit does.", examples=["videos[0].cover"])]


class ComparedOut(Response):
    """Both show this modality, and the model can read it."""

    state: Literal["compared"]
    contribution: Annotated[
        float,
        Field(
            description="The similarity minus what it would be if neither showed this modality: "
            "both profiles are encoded again without it. Negative: it tells the two apart. "
            "Contributions don't add up to the similarity: of two modalities that say the same, "
            "neither is missed."
        ),
    ]


class NotComparedOut(Response):
    """Nothing is known of this modality, which is not the same as unlike."""

    state: Annotated[
        Literal["absent", "unsupported", "uninformative", "nothing_left"],
        Field(
            description="absent: not shown. unsupported: in a form that the model can't read. "
            "uninformative: read, and it says nothing. nothing_left: both show it, and one shows "
            "nothing else to go by, so that there is no vector without it."
        ),
    ]
    where: Annotated[
        Literal["seed", "hit", "both"],
        Field(serialization_alias="in", description="Of which side that is true."),
    ]


ModalityOut = Annotated[ComparedOut | NotComparedOut, Field(discriminator="state")]


class ReasonsOut(Response):
    """Why a streamer is in the answer."""

    nearest_seed: Annotated[
        str,
        Field(
            description="The positive seed that is nearest: its id, or its pointer in the request."
        ),
    ]
    similarity: Annotated[
        float,
        Field(
            description="Cosine with the nearest seed: the score, where one positive seed is all "
            "that was asked with."
        ),
    ]
    content_similarity: Annotated[
        float | None, Field(description="Cosine of the content sketches with the nearest seed.")
    ]
    shared: Annotated[
        dict[str, list[str] | list[SameContentOut]],
        Field(
            description="What both show: tags, category, language; pictures, sounds and titles of "
            "videos and lives that are the very same in both; and similar_pictures, of which one "
            "is a copy of the other: re-encoded, scaled, recoloured, mirrored, or cropped by up to "
            "a fifth of either side; similar_sounds likewise: re-encoded, louder, a semitone off. "
            "A few of each. Kinds with nothing in common are left out."
        ),
    ]
    by_modality: Annotated[
        dict[str, ModalityOut] | None,
        Field(description="Each modality, by its contribution to the similarity."),
    ] = None
    unexplained_because: Annotated[
        str | None, Field(description="Why by_modality is null, as of a seed that is a vector.")
    ] = None


class HitOut(Response):
    """One streamer of the answer."""

    streamer_id: str
    score: float
    precision: Annotated[
        float | None,
        Field(
            description="Estimated share of right ones among all that score at least as much; null "
            "where the model's calibration does not tell: it was never measured for this model or "
            "for scores this low, or the score is no cosine with one seed."
        ),
    ] = None
    rank: int
    reasons: ReasonsOut | None = None


class ThresholdOut(Response):
    """What `min_precision` came to."""

    min_precision: float
    min_score: Annotated[float, Field(description="From which score on streamers are answered.")]
    at_least: Annotated[float, Field(description="The precision promised from there on.")]
    measured_on: Annotated[str, Field(description="Queries that show as many modalities.")]
    source: Annotated[str, Field(description="What counted as right, and who was asked.")]


class SimilarOut(Response):
    """The answer; never cut without saying so."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "hits": [
                        {
                            "streamer_id": "s-7",
                            "score": 0.71,
                            "precision": 0.83,
                            "rank": 1,
                            "reasons": {
                                "nearest_seed": "s-1",
                                "similarity": 0.71,
                                "content_similarity": 0.42,
                                "shared": {
                                    "tags": ["cooking"],
                                    "pictures": [{"seed": "videos[0].cover", "hit": "avatar"}],
                                    "similar_pictures": [
                                        {"seed": "avatar", "hit": "videos[3].cover"}
                                    ],
                                },
                                "by_modality": {
                                    "tags": {"state": "compared", "contribution": 0.41},
                                    "bio": {"state": "compared", "contribution": -0.02},
                                    "covers": {"state": "absent", "in": "hit"},
                                    "name": {"state": "uninformative", "in": "both"},
                                },
                            },
                        }
                    ],
                    "complete": True,
                    "exact": True,
                    "model_version": "transfer-plus-1",
                    "index_sequence": 130,
                    "took_ms": 9.5,
                }
            ]
        }
    )

    hits: list[HitOut]
    threshold: Annotated[
        ThresholdOut | None, Field(description="Given when min_precision was asked for.")
    ] = None
    complete: bool
    incomplete_because: str | None = None
    exact: bool
    model_version: str
    index_sequence: int
    reached: Annotated[
        int | None,
        Field(description="How many reach min_score or min_precision, where that was asked for."),
    ] = None
    next_cursor: Annotated[
        str | None, Field(description="Of an answer in pages, to the next one; null at the last.")
    ] = None
    warnings: Annotated[
        tuple[str, ...],
        Field(description="What may be a mistake, such as a filter field that no streamer has."),
    ] = ()
    took_ms: float
