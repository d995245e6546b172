"""What `/metrics` tells of keys: when those in memory were read last."""

from collections.abc import Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.features.keys.ring import StoredKeyRing


class KeyCounts(Collector):
    """Tells how old the knowledge of keys is, by where they are read."""

    def __init__(self, ring: StoredKeyRing) -> None:
        """Tell of one ring."""
        self._ring = ring

    def collect(self) -> Iterator[Metric]:
        """The one family, read at this moment."""
        family = GaugeMetricFamily(
            "streamer_keys_read_timestamp_seconds",
            "When keys were read last, since 1970; those revoked later are still accepted.",
            labels=["source"],
        )
        for source, at in self._ring.read_at().items():
            family.add_metric([source], at)
        yield family
