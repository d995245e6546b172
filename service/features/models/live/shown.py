"""Reports of shadows, as the API shows them."""

from service.features.models.comparing.schemas import MeanOut
from service.features.models.live.counting import Answers, K, Moments, ShadowCounts
from service.features.models.live.schemas import (
    ChangedAnswerOut,
    HubOut,
    ShadowOut,
    ShadowSideOut,
)

_HUBS = 10


def shadow_out(report: ShadowCounts) -> ShadowOut:
    """The report of a shadow."""
    found, moved = report.overlap.count, report.moved.mean
    return ShadowOut(
        model_version=report.model_version,
        compared_with=report.compared_with,
        begun_at=report.begun_at,
        updated_at=report.updated_at,
        replicas=len(report.replicas),
        sampled=report.sampled,
        compared=report.compared,
        dropped=report.dropped,
        k=K,
        overlap=_mean_out(report.overlap),
        same_first=round(report.same_first / found, 6) if found else None,
        rank_change=None if moved is None else round(moved, 6),
        active=_side_out(report.active),
        shadow=_side_out(report.shadow),
        changes=[
            ChangedAnswerOut(
                seeds=list(each.seeds),
                overlap=each.overlap,
                active=list(each.active),
                shadow=list(each.shadow),
            )
            for each in report.changes
        ],
    )


def _side_out(side: Answers) -> ShadowSideOut:
    hubs, answered = side.hubs.most(_HUBS), side.answered
    return ShadowSideOut(
        answered=answered,
        empty=side.empty,
        failed=side.failed,
        p50_ms=_rounded(side.times.quantile(0.5)),
        p99_ms=_rounded(side.times.quantile(0.99)),
        recall=_mean_out(side.recall),
        recall_questions=side.recall.count,
        largest_hub=round(hubs[0][1] / answered, 6) if hubs and answered else None,
        hub_error=round(side.hubs.missed / answered, 6) if answered else 0.0,
        hubs=[HubOut(streamer_id=name, answers=count) for name, count in hubs],
    )


def _mean_out(found: Moments) -> MeanOut | None:
    """Of shares: the interval is between 0 and 1."""
    mean, interval = found.mean, found.interval()
    if mean is None or interval is None:
        return None
    low, high = max(interval[0], 0.0), min(interval[1], 1.0)
    return MeanOut(mean=round(mean, 6), low=round(low, 6), high=round(high, 6))


def _rounded(ms: float | None) -> float | None:
    return None if ms is None else round(ms, 3)
