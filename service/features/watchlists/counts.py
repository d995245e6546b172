"""What `/metrics` tells of watchlists: lag, lists, sweeps that are due, and alerts by state."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.errors import Unavailable
from service.features.watchlists.alerts.book import AlertBook
from service.features.watchlists.alerts.service import Alerts, State
from service.features.watchlists.following import AlertFollower
from service.features.watchlists.records import Mode

_COUNT_S = 5.0


class WatchlistCounts(Collector):
    """Tells whether this process matches writes with watchlists and, if it does, what of."""

    def __init__(self, follower: AlertFollower, book: AlertBook, alerts: Alerts) -> None:
        """Tell of one follower and of the alerts."""
        self._follower = follower
        self._book = book
        self._alerts = alerts
        self._counts: Mapping[Mode, Mapping[State, int]] = {}
        self._beyond = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to count alerts, on the running event loop."""
        self._task = asyncio.create_task(self._count(), name="alerts' counts")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def collect(self) -> Iterator[Metric]:
        """All metric families, read at this moment."""
        follower, matcher = self._follower, self._follower.lists.matcher
        yield GaugeMetricFamily(
            "streamer_watchlists_leading",
            "1 in the process that matches writes with watchlists.",
            int(follower.is_leading),
        )
        yield CounterMetricFamily(
            "streamer_watchlists_raised", "Alerts that this process raised.", self._book.raised
        )
        if follower.lag_s is not None:  # told whoever leads, and while nobody does
            yield GaugeMetricFamily(
                "streamer_watchlists_lag_seconds",
                "Since all that was written was matched, at most, by whichever process.",
                follower.lag_s,
            )
        if follower.place is None:
            return
        for name, about, value in (
            ("sequence", "Last write that is matched with watchlists.", follower.place.sequence),
            ("lists", "Watchlists that are matched.", matcher.lists),
            ("seeds", "Seeds of these.", matcher.seeds),
            ("sweeps_due", "Watchlists that are not swept yet.", follower.due),
            ("beyond", "Watchlists that matched more than they raised.", self._beyond),
        ):
            if value is not None:
                yield GaugeMetricFamily(f"streamer_watchlists_{name}", about, value)
        alerts = GaugeMetricFamily(
            "streamer_alerts", "Alerts of watchlists.", labels=["mode", "state"]
        )
        for mode, states in self._counts.items():
            for state, count in states.items():
                alerts.add_metric([mode, state], count)
        yield alerts

    async def _count(self) -> None:
        while True:
            if self._follower.is_leading:
                with contextlib.suppress(Unavailable):
                    self._counts = await self._alerts.counts()
                    self._beyond = await self._alerts.beyond(self._follower.lists.matcher.ids)
            await asyncio.sleep(_COUNT_S)
