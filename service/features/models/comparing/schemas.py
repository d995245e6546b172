"""Requests and responses of comparisons of models."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from service.http.schemas import Response, with_nulls

_MODEL = "transfer-plus-a931f7997f06"
_ANSWERING: dict[str, Any] = {
    "median_ms": 0.31,
    "p95_ms": 0.62,
    "largest_hub": 0.045,
    "hubness": 1.8,
    "recall": 0.998,
}
_RATED: dict[str, Any] = {
    "ndcg": {"mean": 0.81, "low": 0.77, "high": 0.85},
    "coverage": 0.93,
    "ndcg_among": {"mean": 0.88, "low": 0.85, "high": 0.91},
}


def _side(decisions: int, before: int, after: int, lost: int, gained: int) -> dict[str, int]:
    return {
        "decisions": decisions,
        "agree_before": before,
        "agree_after": after,
        "lost": lost,
        "gained": gained,
    }


_JUDGED: dict[str, Any] = {
    "kind": "judgements",
    "status": "passed",
    "measured": -0.009091,
    "limit": 0.05,
    "decisions": 200,
    "reason": "of 90 confirmed judgements 1 lost, 3 gained: a loss of -0.022 (-0.086 to +0.036); "
    "of 110 rejected judgements 1 lost, 2 gained: a loss of -0.009 (-0.057 to +0.036); "
    "of 200 judgements 2 lost, 5 gained: a loss of -0.015 (-0.050 to +0.016)",
    "low": -0.057413,
    "high": 0.036311,
}
COMPARISON: dict[str, Any] = {
    "model_version": _MODEL,
    "sha256": "c5f3a2e8" * 8,
    "compared_with": "transfer-plus-0f3c9a1b5e7d",
    "job_id": "019a1b2c3d4e5f60718293a4b5c6",
    "at": 1862438400.1,
    "status": "passed",
    "outcomes": [
        _JUDGED,
        {
            "kind": "verdicts",
            "status": "none_stored",
            "measured": None,
            "limit": 0.05,
            "decisions": 0,
            "reason": "no verdicts are stored",
            "low": None,
            "high": None,
        },
    ],
    "agreements": [
        {
            "kind": "judgements",
            "stored": 212,
            "compared": 200,
            "missing": 12,
            "agree_before": 191,
            "agree_after": 194,
            "lost": 2,
            "gained": 5,
            "confirmed": _side(90, 85, 87, 1, 3),
            "rejected": _side(110, 106, 107, 1, 2),
        }
    ],
    "thresholds": [
        {
            "kind": "judgements",
            "decisions": 200,
            "threshold_before": 0.5,
            "threshold_after": 0.5,
            "precision_before": 0.96,
            "recall_before": 0.94,
            "precision_after": 0.97,
            "recall_after": 0.95,
            "threshold_equal": 0.41,
            "recall_equal": 0.97,
        }
    ],
    "ratings": {
        "stored": 40,
        "compared": 38,
        "missing": 2,
        "k": 10,
        "drawn": 100,
        "before": _RATED,
        "after": _RATED,
        "difference": {"mean": 0.0, "low": -0.01, "high": 0.01},
    },
    "neighbours": {
        "sample": 200,
        "k": 10,
        "overlap": 0.71,
        "low_overlap": 0.4,
        "rank_change": 1.6,
        "same_first": 0.64,
        "before": _ANSWERING,
        "after": _ANSWERING,
        "changed": [{"streamer_id": "w0412", "overlap": 0.1}],
    },
    "flips": {"judgements": 7, "verdicts": 0, "alerts": 0, "ratings": 3},
}
_FLIP: dict[str, Any] = {
    "kind": "judgements",
    "ids": ["w0078", "w0412"],
    "context": "",
    "said": "same",
    "before": 0.83,
    "after": 0.31,
    "threshold_before": 0.5,
    "threshold_after": 0.5,
    "is_lost": True,
}
GateState = Literal["passed", "unclear", "failed", "no_human_work", "not_compared"]
Kind = Literal["judgements", "verdicts", "alerts", "ratings"]
DecisionKind = Literal["judgements", "verdicts", "alerts"]


class GateOut(Response):
    """What the gate says of a model that is ready."""

    state: Annotated[
        GateState,
        Field(
            description="passed, no_human_work: it may be promoted. unclear: it may too, with a "
            "warning: decisions are too few to tell whether it loses more than the limit. failed: "
            "what people decided is against it. not_compared: not lately, while some are stored."
        ),
    ]
    reasons: list[str]


class OutcomeOut(Response):
    """What the gate makes of one kind of decisions."""

    kind: Kind
    status: Annotated[
        Literal["passed", "unclear", "failed", "too_few", "none_stored"],
        Field(
            description="failed alone stops a promotion: what was measured is above the limit, or, "
            "of fewer decisions than STREAMER_MODELS__GATE_FEWEST, the whole interval. passed: "
            "the whole interval is within it. unclear: else."
        ),
    ]
    measured: Annotated[
        float | None,
        Field(
            description="Loss of the share that agrees, among the confirmed decisions, among the "
            "rejected ones or among all, whichever decides; of ratings, of NDCG among streamers "
            "drawn at random. Negative: a gain. null where it was not measured."
        ),
    ]
    limit: Annotated[float, Field(description="Most that it may be.")]
    decisions: Annotated[int, Field(description="Replayed; of ratings, questions.")]
    reason: str
    low: Annotated[
        float | None, Field(description="The 95 % interval of what was measured begins here.")
    ]
    high: Annotated[float | None, Field(description="And ends here.")]


class SideOut(Response):
    """Decisions that people answered alike, under both models."""

    decisions: int
    agree_before: Annotated[int, Field(description="The active model answers as people did.")]
    agree_after: Annotated[int, Field(description="The next model does.")]
    lost: Annotated[int, Field(description="Only the active model does.")]
    gained: Annotated[int, Field(description="Only the next model does.")]


class AgreementOut(Response):
    """Decisions of one kind under both models."""

    kind: DecisionKind
    stored: int
    compared: Annotated[int, Field(description="Replayed against both models.")]
    missing: Annotated[
        int,
        Field(
            description="Looked at, but a streamer, case or watchlist is gone, or of an alert is "
            "not as it was."
        ),
    ]
    agree_before: Annotated[int, Field(description="The active model answers as people did.")]
    agree_after: Annotated[int, Field(description="The next model does.")]
    lost: Annotated[int, Field(description="Only the active model does.")]
    gained: Annotated[int, Field(description="Only the next model does.")]
    confirmed: Annotated[
        SideOut, Field(description="Those that people called a match: same, confirmed.")
    ]
    rejected: Annotated[SideOut, Field(description="The others: different, cleared, dismissed.")]


class RecalibratedOut(Response):
    """A threshold, and the one by which the next model is as precise."""

    kind: DecisionKind
    decisions: Annotated[int, Field(description="That were made at this threshold.")]
    threshold_before: Annotated[
        float,
        Field(description="Probability from which on the active model sees a match."),
    ]
    threshold_after: Annotated[float, Field(description="Likewise the next model, as it is.")]
    precision_before: Annotated[
        float | None,
        Field(description="Share of the active model's matches that people confirmed."),
    ]
    recall_before: Annotated[
        float | None,
        Field(description="Share of what people confirmed that the active model matches."),
    ]
    precision_after: float | None
    recall_after: float | None
    threshold_equal: Annotated[
        float | None,
        Field(
            description="Lowest probability by which the next model is as precise as the active "
            "one. Below threshold_after, by the lower bound of its precision at 97.5 %; null where "
            "none is."
        ),
    ]
    recall_equal: Annotated[float | None, Field(description="Of the next model at that one.")]


class MeanOut(Response):
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float


class RatedAnswersOut(Response):
    """What ratings say of one model's answers."""

    ndcg: Annotated[
        MeanOut,
        Field(description="Of the best k; a hit that nobody rated counts as not relevant."),
    ]
    coverage: Annotated[float, Field(description="Share of the best k that is rated.")]
    ndcg_among: Annotated[
        MeanOut,
        Field(
            description="Of the order of rated streamers among others that were drawn at random, "
            "the same for both models."
        ),
    ]


class RatedQuestionsOut(Response):
    """Rated questions under both models."""

    stored: int
    compared: int
    missing: Annotated[
        int, Field(description="Looked at, but a seed is gone, or nobody is rated as relevant.")
    ]
    k: int
    drawn: Annotated[int, Field(description="Streamers drawn at random, at most.")]
    before: RatedAnswersOut | None
    after: RatedAnswersOut | None
    difference: Annotated[
        MeanOut | None, Field(description="Of ndcg_among: the next model less the active one.")
    ]


class AnsweringOut(Response):
    """How one model answers for the streamers of the sample."""

    median_ms: Annotated[float, Field(description="Of a search in the index.")]
    p95_ms: float
    largest_hub: Annotated[
        float, Field(description="Share of the answers that the most frequent streamer is in.")
    ]
    hubness: Annotated[
        float, Field(description="Skewness of the number of answers that a streamer is in.")
    ]
    recall: Annotated[float, Field(description="Of the nearest, against an exact search.")]


class ChangedNeighboursOut(Response):
    """A streamer whose neighbours change much."""

    streamer_id: str
    overlap: float


class NeighboursOut(Response):
    """Neighbours of a sample of streamers under both models."""

    sample: Annotated[
        int, Field(description="Streamers with a vector by both models, a neighbour by one.")
    ]
    k: int
    overlap: Annotated[float, Field(description="Mean share of the k that both models find.")]
    low_overlap: Annotated[float, Field(description="A tenth of the sample has as much or less.")]
    rank_change: Annotated[
        float, Field(description="Mean difference of the ranks of those that both find.")
    ]
    same_first: Annotated[float, Field(description="Share whose nearest is the same.")]
    before: AnsweringOut
    after: AnsweringOut
    changed: Annotated[
        list[ChangedNeighboursOut], Field(description="Whose neighbours change most.")
    ]


class FlipCountsOut(Response):
    """How many decisions flip, by kind."""

    judgements: int
    verdicts: int
    alerts: int
    ratings: Annotated[int, Field(description="Questions whose NDCG changes by 0.01 or more.")]


class ComparisonOut(Response):
    """The report of a comparison: `before` is of the active model, `after` of the next one."""

    model_config = ConfigDict(json_schema_extra={"examples": [with_nulls(COMPARISON)]})

    model_version: str
    sha256: Annotated[str, Field(description="Of the manifest of its bundle.")]
    compared_with: Annotated[str, Field(description="The model that was active.")]
    job_id: str
    at: Annotated[float, Field(description="Seconds since 1970, UTC.")]
    status: Annotated[
        Literal["passed", "unclear", "failed", "no_human_work"],
        Field(
            description="unclear: no kind failed, and one is unclear, or none passed. "
            "no_human_work: nothing that people decided is stored."
        ),
    ]
    outcomes: list[OutcomeOut]
    agreements: list[AgreementOut]
    thresholds: Annotated[
        list[RecalibratedOut],
        Field(description="Those that enough decisions were made at, the most frequent first."),
    ]
    ratings: RatedQuestionsOut
    neighbours: Annotated[
        NeighboursOut | None,
        Field(description="null where nobody has a vector by both models and a neighbour by one."),
    ]
    flips: FlipCountsOut


class FlipOut(Response):
    """A decision that the two models answer differently."""

    kind: Kind
    ids: Annotated[
        list[str],
        Field(description="Of the streamers; of a rated question, its positive seeds."),
    ]
    context: Annotated[
        str, Field(description="The case, watchlist or question; empty of a judgement.")
    ]
    said: Annotated[str, Field(description="What people decided; empty of a question.")]
    before: Annotated[
        float, Field(description="Probability by the active model; of a question, its ndcg_among.")
    ]
    after: Annotated[float, Field(description="Likewise by the next model.")]
    threshold_before: Annotated[
        float | None, Field(description="From which on there is a match; null of a question.")
    ]
    threshold_after: float | None
    is_lost: Annotated[
        bool, Field(description="The active model agrees with people, or ranks better.")
    ]


class FlipPage(Response):
    """A page of flips of one kind, the lost ones first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [with_nulls({"flips": [with_nulls(_FLIP)], "next_cursor": None})]
        }
    )

    flips: list[FlipOut]
    next_cursor: Annotated[
        str | None, Field(description="Fetches the next page; null on the last page.")
    ]
