"""What becomes of jobs, for Prometheus: those of the store, and what this process did of them."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from prometheus_client import Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.store.jobs import Job, Settled, State

AttemptState = Settled | Literal["running", "given_back"]
"""`given_back`: it is queued again, left for its lease to end, or another process has it."""
_ACTIVE: tuple[State, ...] = ("queued", "running")
_BUCKETS_S = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600)


class Attempt:
    """One attempt at a job.

    Attributes:
        state: how it ended.
    """

    def __init__(self, job: Job, seconds: Histogram) -> None:
        self.state: AttemptState = "running"
        self._kind = job.kind
        self._seconds = seconds
        self._began = time.perf_counter()

    def end(self, state: AttemptState) -> None:
        """Count it, unless it has ended already."""
        if self.state == "running":
            self.state = state
            took_s = time.perf_counter() - self._began
            self._seconds.labels(self._kind, state).observe(took_s)


class JobCounts(Collector):
    """Counts jobs.

    Attributes:
        active: queued and running jobs of the store by kind and state; None = not known.
    """

    def __init__(self) -> None:
        """Nothing was done yet."""
        self.active: Mapping[tuple[str, State], int] | None = None
        self._retries: Counter[str] = Counter()
        self._kinds: set[str] = set()
        self._seconds = Histogram(
            "streamer_job_seconds",
            "Attempts at jobs in this process; state given_back: queued again, left for its lease "
            "to end, or run by another.",
            ("kind", "state"),
            buckets=_BUCKETS_S,
            registry=None,
        )

    def know(self, kinds: Iterable[str]) -> None:
        """Tell of these kinds too when there is no job of them."""
        self._kinds.update(kinds)
        for kind in self._kinds:  # an increase is seen from a number on that is there already
            self._seconds.labels(kind, "failed")

    def begin(self, job: Job) -> Attempt:
        """An attempt begins."""
        self._retries[job.kind] += job.attempts > 1
        return Attempt(job, self._seconds)

    def gave_up(self, job: Job) -> None:
        """A job has failed between two attempts: too many ended in nothing."""
        self._seconds.labels(job.kind, "failed").observe(0.0)

    def collect(self) -> Iterator[Metric]:
        """All metric families, read at this moment."""
        active = GaugeMetricFamily(
            "streamer_jobs",
            "Jobs of the store that are queued and running, all services together.",
            labels=["kind", "state"],
        )
        if self.active is not None:
            none = {(kind, state): 0 for kind in self._kinds for state in _ACTIVE}
            for (kind, state), count in sorted({**none, **self.active}.items()):
                active.add_metric([kind, state], count)
        retries = CounterMetricFamily(
            "streamer_job_retries",
            "Attempts of this process at jobs that were begun before.",
            labels=["kind"],
        )
        for kind in sorted(self._kinds):
            retries.add_metric([kind], self._retries[kind])
        yield from (active, retries)
        yield from self._seconds.collect()
