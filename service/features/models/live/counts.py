"""What `/metrics` tells of live questions by the model that answered them."""

from collections.abc import Iterator
from typing import Literal, get_args

from prometheus_client import Counter, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

Why = Literal["not_here", "behind", "error"]
"""Why the active model answered in place of the canary: that is not open or complete on this
replica, its index lacks the newest writes, or it could not answer."""
_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_MOST_MODELS = 8


class LiveCounts(Collector):
    """Counts questions for similar streamers in this process, by model."""

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self._seconds = Histogram(
            "streamer_model_question_seconds",
            "Of an answer to a question for similar streamers, by the model that gave it.",
            ("model_version",),
            buckets=_BUCKETS_S,
            registry=None,
        )
        self._empty = Counter(
            "streamer_model_empty_answers",
            "Of these answers, those without a hit.",
            ("model_version",),
            registry=None,
        )
        self._gave_way = Counter(
            "streamer_canary_gave_way",
            "Questions of callers of the canary that the active model answered, by the reason.",
            ("reason",),
            registry=None,
        )
        self._reasons = {why: self._gave_way.labels(why) for why in get_args(Why)}
        self._known: dict[str, tuple[Histogram, Counter]] = {}

    def note(self, model_version: str, hits: int, took_s: float) -> None:
        """A model answered a question."""
        known = self._known.get(model_version)
        if known is None:
            known = self._first(model_version)
        known[0].observe(took_s)
        if not hits:
            known[1].inc()

    def give_way(self, why: Why) -> None:
        """The active model answers in place of the canary."""
        self._reasons[why].inc()

    def collect(self) -> Iterator[Metric]:
        """All metric families, read at this moment."""
        for family in (self._seconds, self._empty, self._gave_way):
            yield from family.collect()

    def _first(self, model_version: str) -> tuple[Histogram, Counter]:
        """Count a model from now on; the one that was counted first goes where there are many."""
        if len(self._known) >= _MOST_MODELS:
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._seconds.remove(oldest)
            self._empty.remove(oldest)
        labelled = (self._seconds.labels(model_version), self._empty.labels(model_version))
        self._known[model_version] = labelled
        return labelled
