"""Decisions of people under two models: agreement, flips, thresholds of equal precision."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from service.features.models.comparing.records import (
    Agreement,
    DecisionKind,
    Flip,
    Recalibrated,
    Side,
)

_MOST_THRESHOLDS = 20
_Z = 1.959964


@dataclass(frozen=True)
class Decision:
    """What people decided, and the probability of it under both models.

    Attributes:
        ids: streamers that it is about.
        context: a case or a watchlist; "" of a judgement.
        said: their word.
        is_match: whether it means that there is a match.
        before, after: probability by the active and the next model; 0 where that is no match,
            however likely, such as without a channel that compares content itself.
        threshold_before, threshold_after: from which probability on the models match.
    """

    ids: Sequence[str]
    context: str
    said: str
    is_match: bool
    before: float
    after: float
    threshold_before: float
    threshold_after: float

    @property
    def agrees_before(self) -> bool:
        """Whether the active model answers as people did."""
        return (self.before >= self.threshold_before) == self.is_match

    @property
    def agrees_after(self) -> bool:
        """Whether the next model does."""
        return (self.after >= self.threshold_after) == self.is_match


def agreement(
    kind: DecisionKind, decisions: Sequence[Decision], stored: int, missing: int
) -> Agreement:
    """How many of them the models answer as people did."""
    whole = _side(decisions)
    return Agreement(
        kind,
        stored,
        len(decisions),
        missing,
        whole.agree_before,
        whole.agree_after,
        whole.lost,
        whole.gained,
        _side([each for each in decisions if each.is_match]),
        _side([each for each in decisions if not each.is_match]),
    )


def _side(decisions: Sequence[Decision]) -> Side:
    before = [each.agrees_before for each in decisions]
    after = [each.agrees_after for each in decisions]
    pairs = list(zip(before, after, strict=True))
    return Side(
        len(decisions),
        sum(before),
        sum(after),
        pairs.count((True, False)),
        pairs.count((False, True)),
    )


def flips(kind: DecisionKind, decisions: Sequence[Decision]) -> list[Flip]:
    """Those that the models answer differently: the lost ones first, then by how much changes."""
    changed = [each for each in decisions if each.agrees_before != each.agrees_after]
    changed.sort(key=lambda e: (not e.agrees_before, -abs(e.after - e.before), e.ids, e.context))
    return [
        Flip(
            kind,
            each.ids,
            each.context,
            each.said,
            round(each.before, 6),
            round(each.after, 6),
            round(each.threshold_before, 6),
            round(each.threshold_after, 6),
            each.agrees_before,
        )
        for each in changed
    ]


def recalibrated(
    kind: DecisionKind, decisions: Sequence[Decision], fewest: int
) -> list[Recalibrated]:
    """Thresholds of equal precision, of those thresholds that enough decisions were made at."""
    grouped: defaultdict[tuple[float, float], list[Decision]] = defaultdict(list)
    for each in decisions:
        grouped[each.threshold_before, each.threshold_after].append(each)
    ordered = sorted(grouped.items(), key=lambda group: (-len(group[1]), group[0]))
    return [
        _of_one(kind, group, *thresholds)
        for thresholds, group in ordered[:_MOST_THRESHOLDS]
        if len(group) >= fewest
    ]


def _of_one(
    kind: DecisionKind, group: Sequence[Decision], threshold_before: float, threshold_after: float
) -> Recalibrated:
    right = [each.is_match for each in group]
    before, after = [each.before for each in group], [each.after for each in group]
    precision, recall = _quality(before, right, threshold_before)
    equal = None if precision is None else _lowest(after, right, precision, threshold_after)
    return Recalibrated(
        kind,
        len(group),
        round(threshold_before, 6),
        round(threshold_after, 6),
        precision,
        recall,
        *_quality(after, right, threshold_after),
        equal,
        None if equal is None else _quality(after, right, equal)[1],
    )


def _quality(
    scores: Sequence[float], right: Sequence[bool], threshold: float
) -> tuple[float | None, float | None]:
    """Precision and recall; None where nothing matches, or nothing should."""
    found = [is_right for score, is_right in zip(scores, right, strict=True) if score >= threshold]
    wanted = sum(right)
    return (
        round(sum(found) / len(found), 6) if found else None,
        round(sum(found) / wanted, 6) if wanted else None,
    )


def _lowest(
    scores: Sequence[float], right: Sequence[bool], precision: float, threshold: float
) -> float | None:
    """The lowest of the scores, above 0, that is as precise as this.

    Of many scores some are as precise by chance. Below the model's own threshold, where more would
    match than now, the lower bound of the precision has to be as high.
    """
    ordered = sorted(zip(scores, right, strict=True), reverse=True)
    best: float | None = None
    found = 0
    for count, (score, is_right) in enumerate(ordered, start=1):
        found += is_right
        is_last = count == len(ordered) or ordered[count][0] < score  # of equal scores
        share = found / count if score >= threshold else _least_share(found, count)
        if score > 0 and is_last and round(share, 6) >= precision:
            best = score
    return best


def _least_share(found: int, count: int) -> float:
    """Lower bound, at 97.5 %, of a share that was found (Wilson 1927)."""
    share, spread = found / count, _Z * _Z / count
    middle = share + spread / 2
    return (middle - math.sqrt(spread * (share * (1 - share) + spread / 4))) / (1 + spread)
