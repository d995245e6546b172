"""What `/metrics` tells of webhooks, in the process that delivers them."""

from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.features.webhooks.dispatcher import Dispatcher


class WebhookCounts(Collector):
    """Tells how many messages wait, since when, and how attempts ended."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        """Tell of one dispatcher."""
        self._dispatcher = dispatcher

    def collect(self) -> Iterator[Metric]:
        """All metric families, read at this moment."""
        dispatcher, means = self._dispatcher, self._dispatcher.means
        workers = list(dispatcher.workers.values())
        oldest = min((at for w in workers if (at := w.oldest_at) is not None), default=None)
        # A clock that was set back makes nothing younger than now.
        age = 0.0 if oldest is None else max(0.0, means.now() - oldest)
        for name, about, value in (
            ("leading", "1 in the process that delivers webhooks.", int(dispatcher.is_leading)),
            ("due", "Messages stored and not delivered yet.", sum(w.due for w in workers)),
            ("oldest_due_seconds", "Age of the oldest event that is not delivered yet.", age),
        ):
            yield GaugeMetricFamily(f"streamer_webhooks_{name}", about, value)
        counts = means.counts
        for name, about, value in (
            ("delivered", "Messages that arrived.", counts.delivered),
            ("failed", "Attempts that failed.", counts.failed),
            ("dead", "Messages given up after the last attempt.", counts.dead),
            ("disabled", "Webhooks disabled, as their target answered 410.", counts.disabled),
            ("missed", "Events that left the feed before a webhook had them.", counts.missed),
        ):
            yield CounterMetricFamily(f"streamer_webhooks_{name}", about, value)
