"""What a comparison of two models finds, as it is stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter

DecisionKind = Literal["judgements", "verdicts", "alerts"]
Kind = Literal["judgements", "verdicts", "alerts", "ratings"]
KINDS: Sequence[Kind] = ("judgements", "verdicts", "alerts", "ratings")
OutcomeStatus = Literal["passed", "unclear", "failed", "too_few", "none_stored"]
Status = Literal["passed", "unclear", "failed", "no_human_work"]


@dataclass(frozen=True)
class Flip:
    """A decision that the next model answers otherwise.

    Attributes:
        kind: of the decision.
        ids: streamers that it is about; of a question, its wanted seeds.
        context: the case, the watchlist or the question; "" of a judgement.
        said: what people decided; "" of a question.
        before, after: probability by the active and the next model; of a question its NDCG among
            streamers drawn at random.
        threshold_before, threshold_after: from which probability on it is a match; None of a
            question.
        is_lost: whether the active model agrees with people, or ranks better.
    """

    kind: Kind
    ids: Sequence[str]
    context: str
    said: str
    before: float
    after: float
    threshold_before: float | None
    threshold_after: float | None
    is_lost: bool


@dataclass(frozen=True)
class Side:
    """Decisions that people answered alike, under both models.

    Attributes:
        decisions: how many.
        agree_before, agree_after: how many the active and the next model answer as people did.
        lost, gained: how many only the active one does, and only the next one.
    """

    decisions: int = 0
    agree_before: int = 0
    agree_after: int = 0
    lost: int = 0
    gained: int = 0


@dataclass(frozen=True)
class Agreement:
    """Decisions of one kind under both models.

    Attributes:
        kind: of them.
        stored: how many there are.
        compared: how many were replayed.
        missing: how many of those looked at name somebody or something that is not stored as it
            was.
        agree_before, agree_after: how many the active and the next model answer as people did.
        lost, gained: how many only the active one does, and only the next one.
        confirmed: those that people called a match: `same`, `confirmed`.
        rejected: the others: `different`, `cleared`, `dismissed`.
    """

    kind: DecisionKind
    stored: int
    compared: int
    missing: int
    agree_before: int
    agree_after: int
    lost: int
    gained: int
    # Reports that were kept before the gate told them apart have none.
    confirmed: Side = Side()
    rejected: Side = Side()

    @property
    def whole(self) -> Side:
        """All that were replayed."""
        return Side(self.compared, self.agree_before, self.agree_after, self.lost, self.gained)


@dataclass(frozen=True)
class Recalibrated:
    """A threshold, and the one by which the next model is as precise.

    Precision is the share of matches that people confirmed, recall the share of what they confirmed
    that matches; both among the decisions that were replayed at this threshold.

    Attributes:
        kind: of the decisions.
        decisions: how many.
        threshold_before, threshold_after: probabilities from which on there is a match.
        precision_before, recall_before: of the active model.
        precision_after, recall_after: of the next model, at its threshold.
        threshold_equal: lowest probability by which the next model is as precise as the active one;
            below its own threshold, by the lower bound of its precision; None where none is.
        recall_equal: of the next model at that probability.
    """

    kind: DecisionKind
    decisions: int
    threshold_before: float
    threshold_after: float
    precision_before: float | None
    recall_before: float | None
    precision_after: float | None
    recall_after: float | None
    threshold_equal: float | None
    recall_equal: float | None


@dataclass(frozen=True)
class Mean:
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class RatedAnswers:
    """What ratings say of one model's answers.

    Attributes:
        ndcg: of its best hits, where a hit that nobody rated counts as not relevant.
        coverage: share of those hits that are rated.
        ndcg_among: of the rated streamers among others that were drawn at random.
    """

    ndcg: Mean
    coverage: float
    ndcg_among: Mean


@dataclass(frozen=True)
class RatedQuestions:
    """Rated questions under both models.

    Attributes:
        stored: questions that are rated.
        compared: those that were asked of both models.
        missing: those whose seeds are not stored any more, or that nobody fits.
        k: hits that count.
        drawn: streamers drawn at random for `ndcg_among`, at most.
        before, after: of the active and the next model; None without questions.
        difference: of `ndcg_among`, the next model less the active one.
    """

    stored: int
    compared: int
    missing: int
    k: int
    drawn: int
    before: RatedAnswers | None = None
    after: RatedAnswers | None = None
    difference: Mean | None = None


@dataclass(frozen=True)
class Answering:
    """How one model answers questions for the nearest of streamers of the sample.

    Attributes:
        median_ms, p95_ms: time of a search.
        largest_hub: share of the answers that the streamer is in which is in most of them.
        hubness: skewness of the number of answers that a streamer is in (Radovanović et al. 2010).
        recall: share of the nearest that is found, by exact search.
    """

    median_ms: float
    p95_ms: float
    largest_hub: float
    hubness: float
    recall: float


@dataclass(frozen=True)
class ChangedNeighbours:
    """A streamer, and the share of its neighbours that both models find."""

    streamer_id: str
    overlap: float


@dataclass(frozen=True)
class Neighbours:
    """Neighbours of a sample of streamers under both models.

    Attributes:
        sample: how many streamers, those that neither model finds a neighbour of left out.
        k: neighbours of each.
        overlap: share of them that both models find; the mean.
        low_overlap: a tenth of the sample has as much or less.
        rank_change: mean difference of the ranks of neighbours that both find.
        same_first: share of the sample whose nearest is the same.
        before, after: of the active and the next model.
        changed: those of the sample whose neighbours change most.
    """

    sample: int
    k: int
    overlap: float
    low_overlap: float
    rank_change: float
    same_first: float
    before: Answering
    after: Answering
    changed: Sequence[ChangedNeighbours]


@dataclass(frozen=True)
class Outcome:
    """What the gate makes of one kind of decisions.

    Attributes:
        kind: of them.
        status: `failed` alone keeps a model from being promoted; `unclear` where what was
            measured is within the limit, and a part of its interval is not.
        measured: loss of agreement among the confirmed ones, the rejected ones or all, whichever
            decides, or of NDCG; None where there are too few.
        limit: most that it may be.
        decisions: how many were replayed; of ratings, questions.
        reason: in words.
        low, high: the 95 % interval of what was measured.
    """

    kind: Kind
    status: OutcomeStatus
    measured: float | None
    limit: float
    decisions: int
    reason: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Comparison:
    """The report of a comparison.

    Attributes:
        model_version: the next model.
        sha256: of its bundle.
        compared_with: the model that was active.
        job_id: of the job that made it.
        at: seconds since 1970.
        status: what the gate says.
        outcomes: for each kind.
        agreements: decisions by kind.
        thresholds: recalibrated to equal precision.
        ratings: rated questions.
        neighbours: None where nobody in the sample has any.
        flips: how many by kind.
    """

    model_version: str
    sha256: str
    compared_with: str
    job_id: str
    at: float
    status: Status
    outcomes: Sequence[Outcome]
    agreements: Sequence[Agreement]
    thresholds: Sequence[Recalibrated]
    ratings: RatedQuestions
    neighbours: Neighbours | None
    flips: dict[Kind, int]


FLIP = TypeAdapter(Flip)
COMPARISON = TypeAdapter(Comparison)
