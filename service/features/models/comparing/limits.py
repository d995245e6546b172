"""The gate: whether what people decided stands in the way of a model."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.features.models.comparing.records import (
    Agreement,
    Kind,
    Mean,
    Outcome,
    OutcomeStatus,
    RatedQuestions,
    Status,
)
from service.features.models.losses import loss_of

_SEVERITY: Sequence[OutcomeStatus] = ("passed", "unclear", "failed")


@dataclass(frozen=True)
class GateLimits:
    """What a model may lose.

    Attributes:
        fewest: decisions of a kind below which nothing is said.
        fewest_questions: rated questions, likewise.
        agreement_loss: largest share of the confirmed decisions of a kind, and of the rejected
            ones, that fewer agree with it.
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
    statuses = {each.status for each in found}
    if "failed" in statuses:
        return "failed"
    if statuses <= {"none_stored"}:
        return "no_human_work"
    return "passed" if "passed" in statuses and "unclear" not in statuses else "unclear"


def _of_decisions(found: Agreement, limits: GateLimits) -> Outcome:
    """Lost matches and wrong ones apart, and both together.

    Decisions on what a model found agree with it in one way: the model that raised the alerts
    agrees with all that were confirmed and with none that was dismissed. In the sum of both, one
    that finds nothing gains.
    """
    kind, limit, count = found.kind, limits.agreement_loss, found.compared
    few = _too_few(kind, found.stored, count, limits.fewest, limit)
    if few is not None:
        return few
    sides = [("confirmed ", found.confirmed), ("rejected ", found.rejected)]
    some = [(what, side) for what, side in sides if 0 < side.decisions < count]
    judged: list[tuple[OutcomeStatus, Mean]] = []
    said: list[str] = []
    for what, side in [*some, ("", found.whole)]:
        loss = loss_of(side)
        judged.append((_status(loss, limit, is_few=side.decisions < limits.fewest), loss))
        said.append(
            f"of {side.decisions} {what}{kind} {side.lost} lost, {side.gained} gained: a loss "
            f"of {_told(loss)}"
        )
    status, loss = max(
        judged, key=lambda each: (_SEVERITY.index(each[0]), each[1].mean, each[1].high)
    )
    return _outcome(kind, status, loss, limit, count, "; ".join(said))


def _of_ratings(found: RatedQuestions, limits: GateLimits) -> Outcome:
    limit, count = limits.ndcg_loss, found.compared
    few = _too_few("ratings", found.stored, count, limits.fewest_questions, limit)
    if few is not None or found.difference is None:
        return few or Outcome("ratings", "too_few", None, limit, count, "no question is answered")
    gain = found.difference
    said = (
        f"NDCG@{found.k} of rated streamers among others changes by {_told(gain)} over {count} "
        "questions"
    )
    loss = Mean(-gain.mean, -gain.high, -gain.low)
    return _outcome("ratings", _status(loss, limit), loss, limit, count, said)


def _status(loss: Mean, limit: float, *, is_few: bool = False) -> OutcomeStatus:
    """What a loss comes to; one of few decisions fails only where chance does not explain it."""
    if (loss.low if is_few else loss.mean) > limit:
        return "failed"
    return "passed" if loss.high <= limit else "unclear"


def _outcome(
    kind: Kind, status: OutcomeStatus, loss: Mean, limit: float, count: int, said: str
) -> Outcome:
    if status == "unclear":
        said += f"; whether that is more than {limit:g} {count} can't tell"
    mean, low, high = (round(value, 6) for value in (loss.mean, loss.low, loss.high))
    return Outcome(kind, status, mean, limit, count, said, low, high)


def _told(found: Mean) -> str:
    return f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def _too_few(kind: Kind, stored: int, count: int, fewest: int, limit: float) -> Outcome | None:
    what = "rated questions" if kind == "ratings" else kind
    if not stored:
        return Outcome(kind, "none_stored", None, limit, 0, f"no {what} are stored")
    if count < fewest:
        said = f"{count} {what} could be replayed, {fewest} are needed"
        return Outcome(kind, "too_few", None, limit, count, said)
    return None
