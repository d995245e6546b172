"""What `/metrics` tells of duplicates: how far they are evaluated, groups, judgements."""

from collections.abc import Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.features.duplicates.following import GroupsFollower


class DuplicateCounts(Collector):
    """Tells whether this process evaluates duplicates and, if it does, what of."""

    def __init__(self, follower: GroupsFollower) -> None:
        """Tell of one follower."""
        self._follower = follower

    def collect(self) -> Iterator[Metric]:
        """All metric families, read at this moment."""
        follower, evaluation = self._follower, self._follower.evaluation
        yield GaugeMetricFamily(
            "streamer_duplicates_leading",
            "1 in the process that keeps the groups of duplicates up to date.",
            int(follower.is_leading),
        )
        if follower.lag_s is not None:  # told whoever leads, and while nobody does
            yield GaugeMetricFamily(
                "streamer_duplicates_lag_seconds",
                "Since all that was written was evaluated, at most, by whichever process.",
                follower.lag_s,
            )
        if evaluation is None or evaluation.position is None:
            return
        for name, about, count in (
            (
                "sequence",
                "Last write that is evaluated for duplicates.",
                evaluation.position.sequence,
            ),
            ("groups", "Groups of duplicates.", evaluation.count),
            ("judgements", "Pairs of streamers that people judged.", evaluation.judged),
        ):
            yield GaugeMetricFamily(f"streamer_duplicates_{name}", about, count)
