"""What `/metrics` tells of the map: how many are on it, how many not yet, and how old it is."""

import time
from collections.abc import Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.features.layouts.following import LayoutFollower


class LayoutCounts(Collector):
    """Tells of the map of this replica."""

    def __init__(self, follower: LayoutFollower) -> None:
        """Tell of what it serves."""
        self._follower = follower

    def collect(self) -> Iterator[Metric]:
        """All metric families, read at this moment; none before the first layout."""
        record, served = self._follower.record, self._follower.served
        problem = self._follower.problem
        if record is not None or not self._follower.has_looked:
            yield GaugeMetricFamily(
                "streamer_layout_served",
                "1 while this replica serves the layout and keeps its map up to date.",
                int(served is not None and problem is None),
            )
        if record is None:
            return
        age_s = time.time() - record.created_at
        for name, about, value in (
            ("age_seconds", "Since the layout was fitted.", age_s),
            ("placed", "Streamers on the map.", served.placed if served else 0),
            ("waiting", "Streamers that are not on it yet.", served.waiting if served else 0),
        ):
            yield GaugeMetricFamily(f"streamer_layout_{name}", about, value)
