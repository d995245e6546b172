"""What `/metrics` tells of comparisons and of the gate."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from service.features.models.comparing.records import Status

_STATUSES: tuple[Status, ...] = ("passed", "unclear", "failed", "no_human_work")


class GateCounts(Collector):
    """Counts what happened in this process.

    Attributes:
        compared: comparisons that were made, by their status.
        refused: promotions that the gate refused.
        forced: promotions that it would have refused.
    """

    def __init__(self) -> None:
        """Nothing happened yet."""
        self.compared: Counter[Status] = Counter()
        self.refused = 0
        self.forced = 0

    def collect(self) -> Iterator[Metric]:
        """All metric families, read at this moment."""
        made = CounterMetricFamily(
            "streamer_model_comparisons", "Comparisons of models by status.", labels=["status"]
        )
        for status in _STATUSES:
            made.add_metric([status], self.compared[status])
        yield made
        yield CounterMetricFamily(
            "streamer_model_promotions_refused", "Promotions refused by the gate.", self.refused
        )
        yield CounterMetricFamily(
            "streamer_model_promotions_forced",
            "Promotions forced against the gate.",
            self.forced,
        )
