"""Similar streamers: seeds, filters, hits."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from model_export.contract.streamer import (
    FiniteFloat,
    StreamerContent,
    StreamerId,
)
from service.features.similar.examples import ANSWER
from service.http.schemas import (
    AfterSequence,
    Complete,
    Coverage,
    FilterIn,
    MinPrecision,
    Request,
    Response,
)
from service.index.query import Strategy
from service.maxima import MOST_SEEDS


class SeedIn(Request):
    """One example: exactly one of streamer_id, profile, vector."""

    streamer_id: StreamerId | None = None
    profile: StreamerContent | None = None
    vector: (
        Annotated[
            list[FiniteFloat],
            Field(
                min_length=1,
                max_length=4096,
                fail_fast=True,
                description="An embedding of this model; its length does not matter.",
            ),
        ]
        | None
    ) = None
    weight: Annotated[
        float,
        Field(
            gt=0,
            le=1000,
            allow_inf_nan=False,
            description="Counts relative to the other seeds of its sign; by `sum` relative to all "
            "seeds; not at all by `best_score`.",
        ),
    ] = 1.0

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(v is not None for v in (self.streamer_id, self.profile, self.vector)) != 1:
            raise ValueError("needs exactly one of: streamer_id, profile, vector")
        return self


class SeedsIn(Request):
    """Positive and negative seeds, and who may be in the answer."""

    positive: Annotated[
        list[SeedIn],
        Field(min_length=1, max_length=MOST_SEEDS, description="Find streamers like these."),
    ]
    negative: list[SeedIn] = Field(
        default_factory=list[SeedIn], max_length=MOST_SEEDS, description="Unlike these."
    )
    strategy: Annotated[
        Strategy,
        Field(
            description="average: cosine with the mean of the positive seeds, minus that with the "
            "negative mean, halved. best_score: the best cosine with any positive seed, negative "
            "when a negative seed is nearer. sum: weighted sum of all cosines, those with negative "
            "seeds taken off, over the sum of all weights."
        ),
    ] = "average"
    min_score: Annotated[
        float | None,
        Field(
            ge=-1,
            le=1,
            allow_inf_nan=False,
            description="Only hits with this score or more. Above 0.9999 it asks for copies, "
            "whose scores are rounded.",
        ),
    ] = None
    min_precision: MinPrecision | None = None
    filter: FilterIn = FilterIn()
    after_sequence: AfterSequence = 0

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if self.min_score is not None and self.min_precision is not None:
            raise ValueError("give one of: min_score, min_precision")
        return self


class ExportIn(SeedsIn):
    """Seeds, and the lowest score: one of min_score and min_precision."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"positive": [{"streamer_id": "w0087"}], "min_score": 0.5}]}
    )

    @model_validator(mode="after")
    def _a_limit(self) -> Self:
        if self.min_score is None and self.min_precision is None:
            raise ValueError("needs one of: min_score, min_precision")
        return self


class SimilarIn(SeedsIn):
    """Seeds, and the shape of the answer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "positive": [
                        {"streamer_id": "w0087", "weight": 2},
                        {"profile": {"bio": "guitar music for cats"}},
                    ],
                    "negative": [{"streamer_id": "w0000"}],
                    "k": 10,
                    "filter": {
                        "must": [
                            {"field": "language", "any": ["en"]},
                            {"field": "followers", "gte": 100},
                        ]
                    },
                    "explain": True,
                }
            ]
        }
    )

    k: Annotated[int, Field(ge=1, description="Most hits, or hits on a page.")] = 10
    explain: Annotated[
        bool,
        Field(
            description="Give reasons for each hit. Hit and seed are encoded again without each "
            "modality; k is 50 at most (STREAMER_LIMITS__MAX_EXPLAINED). Needs scope explain too."
        ),
    ] = False
    exact: Annotated[
        bool,
        Field(
            description="Scan every streamer. Otherwise an answer to one seed, without filter and "
            "min_score, may miss about 1 % of the nearest where there are very many streamers, and "
            "any of those who score as the last hit does; "
            "`exact` of the answer says whether every streamer was scanned."
        ),
    ] = False
    pages: Annotated[
        bool,
        Field(
            description="Every streamer that reaches min_score or min_precision, k per page; "
            "GET /v1/similar?cursor= returns the next page. All pages show the index as of the "
            "question."
        ),
    ] = False


class SameContentOut(Response):
    """Content that two profiles share, or two pieces that mean nearly the same."""

    seed: Annotated[
        str,
        Field(description="Its place in the seed; empty for a vector.", examples=["bio"]),
    ]
    hit: Annotated[str, Field(description="Its place in the hit.", examples=["videos[0].title"])]
    seed_quote: Annotated[
        str, Field(description="The seed's own words; empty for pictures and sounds.")
    ] = ""
    hit_quote: Annotated[str, Field(description="The hit's own words; likewise.")] = ""
    disguises: Annotated[
        tuple[str, ...],
        Field(description="What was undone to see that both say the same, as confusable."),
    ] = ()
    similarity: Annotated[
        float | None,
        Field(description="Of a topic: cosine of the two pieces, each encoded alone."),
    ] = None


_Use = Annotated[
    Literal["used", "absent", "uninformative", "unsupported"],
    Field(
        description="used. absent: not shown, which does not mean dissimilar. unsupported: in a "
        "form that the model cannot read. uninformative: read, and it carries no information."
    ),
]


class ContributionOut(Response):
    """What a modality contributes to the similarity."""

    contribution: Annotated[
        float | None,
        Field(
            description="Its share of the similarity, to which all shares add up: the mean of what "
            "the cosine is of this modality alone and what it loses without it (both profiles are "
            "encoded again), scaled so that they add up. Negative: this modality makes them less "
            "similar. Null where neither side has any that the model reads."
        ),
    ]
    seed: _Use
    hit: _Use


class ReasonsOut(Response):
    """The reasons for a hit."""

    nearest_seed: Annotated[
        str,
        Field(description="The nearest positive seed: its id, or its pointer in the request."),
    ]
    similarity: Annotated[
        float,
        Field(
            description="Cosine with the nearest seed; equals the score where the question is one "
            "positive seed."
        ),
    ]
    content_similarity: Annotated[
        float | None, Field(description="Cosine of the content sketches with the nearest seed.")
    ]
    shared: Annotated[
        dict[str, list[str] | list[SameContentOut]],
        Field(
            description="What both show, rare things first and never boilerplate: contacts; tags; "
            "titles; phrases, quoted from both; pictures and sounds that are identical; "
            "similar_pictures, where one is a copy of the other (re-encoded, scaled, recoloured, "
            "mirrored, or cropped by up to 20 % per side) or the vectors are nearly equal; "
            "similar_sounds (re-encoded, louder, up to a semitone off); category; language; "
            "audience, where the bundle knows that of both. Where that is a language at most: "
            "topic, the pieces that mean most nearly the same. A few of each; kinds with nothing "
            "in common are left out."
        ),
    ]
    contributions: Annotated[
        dict[str, ContributionOut] | None,
        Field(
            description="What each modality that either side shows contributes to the similarity."
        ),
    ] = None
    unexplained_because: Annotated[
        str | None,
        Field(description="Why contributions is null, for example because the seed is a vector."),
    ] = None


class HitOut(Response):
    """A streamer of the answer."""

    streamer_id: str
    score: Annotated[float, Field(description="Cosine, or what strategy makes of several.")]
    precision: Annotated[
        float | None,
        Field(
            description="Estimated share of right hits among all with at least this score. Null "
            "where the model is not calibrated, the score is below the calibrated range, the "
            "coverage of the seed is too low, or the score is not the cosine with one seed."
        ),
    ] = None
    rank: int
    reasons: ReasonsOut | None = None


class ThresholdOut(Response):
    """The score that `min_precision` became."""

    min_precision: float
    min_score: Annotated[float, Field(description="The lowest score of a hit.")]
    at_least: Annotated[float, Field(description="The precision promised from this score up.")]
    measured_on: Annotated[str, Field(description="Queries with this many modalities.")]
    source: Annotated[str, Field(description="What counted as right, and which queries were used.")]


class SimilarOut(Response):
    """Hits, best first; `complete` is false where any may be missing."""

    model_config = ConfigDict(json_schema_extra={"examples": [ANSWER]})

    hits: list[HitOut]
    threshold: Annotated[
        ThresholdOut | None, Field(description="Given when min_precision was asked for.")
    ] = None
    complete: Complete
    incomplete_because: str | None = None
    exact: Annotated[bool, Field(description="Whether every streamer was scanned.")]
    model_version: str
    index_sequence: Annotated[int, Field(description="Last write that the index has applied.")]
    reached: Annotated[
        int | None,
        Field(
            description="How many streamers reach min_score or min_precision, if given; with pages "
            "at the moment of the question, whoever is deleted since included."
        ),
    ] = None
    next_cursor: Annotated[
        str | None, Field(description="Fetches the next page; null on the last page.")
    ] = None
    warnings: Annotated[
        tuple[str, ...],
        Field(description="What may be a mistake, and why nothing is promised of the precision."),
    ] = ()
    coverage: Annotated[Coverage | None, Field(description="The lowest of the seeds'.")] = None
    took_ms: Annotated[float, Field(description="Time in the service, in milliseconds.")]


class ExportLineOut(Response):
    """A streamer of an export."""

    streamer_id: str
    score: float
    precision: Annotated[
        float | None, Field(description="Estimated share of right hits with at least this score.")
    ]
    rank: int


class ExportSummaryOut(Response):
    """The last line of an export."""

    reached: Annotated[
        int,
        Field(
            description="How many streamers reach the score at the moment of the question. Who is "
            "deleted while the export is written counts, and has no line."
        ),
    ]
    threshold: ThresholdOut | None
    complete: Complete
    incomplete_because: str | None
    model_version: str
    index_sequence: Annotated[int, Field(description="Last write that the index has applied.")]
    warnings: list[str]
    coverage: Coverage | None
