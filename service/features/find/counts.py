"""What `/metrics` tells of names: up to which write they are found, and whether all are."""

from collections.abc import Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.engine.names.follower import Names


class NameCounts(Collector):
    """Tells of the file of names of this process."""

    def __init__(self, names: Names) -> None:
        """Tell of one file."""
        self._names = names

    def collect(self) -> Iterator[Metric]:
        """All metric families, read at this moment."""
        yield GaugeMetricFamily(
            "streamer_names_sequence", "Last write whose name is found.", self._names.sequence
        )
        yield GaugeMetricFamily(
            "streamer_names_complete",
            "1 while every streamer is found by its name.",
            int(self._names.incomplete_because is None),
        )
