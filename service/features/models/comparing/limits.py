"""The gate: whether what people decided stands in the way of a model."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.features.models.comparing.records import (
    Agreement,
    Kind,
    Outcome,
    RatedQuestions,
    Status,
)


@dataclass(frozen=True)
class GateLimits:
    """What a model may lose.

    Attributes:
        fewest: decisions of a kind below which nothing is said.
        fewest_questions: rated questions, likewise.
        agreement_loss: largest share of the decisions that fewer agree with it.
        ndcg_loss: largest loss of NDCG.
        max_age_s: a comparison that is older has to be made again.
    """

    fewest: int
    fewest_questions: int
    agreement_loss: float
    ndcg_loss: float
    max_age_s: float


def outcomes(
    agreements: Sequence[Agreement], ratings: RatedQuestions, limits: GateLimits
) -> list[Outcome]:
    """What the gate makes of each kind."""
    found = [_of_decisions(each, limits) for each in agreements]
    return [*found, _of_ratings(ratings, limits)]


def status_of(found: Sequence[Outcome]) -> Status:
    """What it makes of all of them."""
    if any(each.status == "failed" for each in found):
        return "failed"
    if all(each.status == "none_stored" for each in found):
        return "no_human_work"
    return "passed"


def _of_decisions(found: Agreement, limits: GateLimits) -> Outcome:
    kind, limit, count = found.kind, limits.agreement_loss, found.compared
    few = _too_few(kind, found.stored, count, limits.fewest, limit)
    if few is not None:
        return few
    loss = (found.agree_before - found.agree_after) / count
    said = (
        f"the active model agrees with {found.agree_before} of {count} {kind}, the next one with "
        f"{found.agree_after}: {found.lost} are lost, {found.gained} gained"
    )
    status = "failed" if loss > limit else "passed"
    return Outcome(kind, status, round(loss, 6), limit, count, said)


def _of_ratings(found: RatedQuestions, limits: GateLimits) -> Outcome:
    limit, count = limits.ndcg_loss, found.compared
    few = _too_few("ratings", found.stored, count, limits.fewest_questions, limit)
    if few is not None or found.difference is None:
        return few or Outcome("ratings", "too_few", None, limit, count, "no question is answered")
    loss, interval = -found.difference.mean, found.difference
    said = (
        f"NDCG@{found.k} of rated streamers among others changes by {interval.mean:+.3f} "
        f"({interval.low:+.3f} to {interval.high:+.3f}) over {count} questions"
    )
    status = "failed" if loss > limit else "passed"
    return Outcome("ratings", status, round(loss, 6), limit, count, said)


def _too_few(kind: Kind, stored: int, count: int, fewest: int, limit: float) -> Outcome | None:
    what = "rated questions" if kind == "ratings" else kind
    if not stored:
        return Outcome(kind, "none_stored", None, limit, 0, f"no {what} are stored")
    if count < fewest:
        said = f"{count} {what} could be replayed, {fewest} are needed"
        return Outcome(kind, "too_few", None, limit, count, said)
    return None
