"""How long the stages of work take, as a histogram."""

from typing import Literal, get_args

from prometheus_client import Histogram

Stage = Literal["queue", "encode", "towers", "decode", "search", "calls", "store_write"]
"""`queue` is the wait for a thread; `calls` is what threads do else, such as explanations."""
_BUCKETS_S = (0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class StageTimes:
    """Times by stage; safe to use from several threads.

    Attributes:
        seconds: the histogram.
    """

    def __init__(self) -> None:
        """Nothing was done yet."""
        self.seconds = Histogram(
            "streamer_stage_seconds",
            "Of a batch of work by stage; queue: of that item of a batch which waited longest.",
            ("stage",),
            buckets=_BUCKETS_S,
            registry=None,
        )
        stages: tuple[Stage, ...] = get_args(Stage)
        self._known = {stage: self.seconds.labels(stage) for stage in stages}

    def note(self, stage: Stage, seconds: float) -> None:
        """Count what took so long."""
        self._known[stage].observe(seconds)
