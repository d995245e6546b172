"""What is recorded of a fit, and the interface of what records it."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal

Event = Literal["start", "resume", "validation", "end"]


@dataclass(frozen=True)
class Entry:
    """State of a training stage at one of its steps.

    Attributes:
        event: `start` of a stage, `resume` of an interrupted one, `validation`, or `end`.
        stage: name of the stage, `select` or `refit`.
        step: steps made; for `end`, step of the chosen weights.
        metric: name of the validation metric.
        value: of the metric; NaN without validation.
        losses: of the last step.
        learning_rate: of the last step; NaN before the first.
        steps_per_s: training steps per second since the last entry, without validations; NaN before
            the first step.
    """

    event: Event
    stage: str
    step: int
    metric: str
    value: float = math.nan
    losses: Mapping[str, float] = field(default_factory=dict)
    learning_rate: float = math.nan
    steps_per_s: float = math.nan

    def scalars(self) -> Iterator[tuple[str, float]]:
        """Name and value of every number that is finite."""
        named = {
            f"validation/{self.metric}": self.value,
            **{f"loss/{name}": value for name, value in self.losses.items()},
            "learning_rate": self.learning_rate,
            "steps_per_s": self.steps_per_s,
        }
        yield from ((name, value) for name, value in named.items() if math.isfinite(value))


class Tracker(AbstractContextManager["Tracker"], ABC):
    """Records a fit; leaving the context closes it, also after an error."""

    @abstractmethod
    def go_on(self, stage: str, step: int) -> None:
        """Prepare for the entries of a stage after `step`.

        What an interrupted fit has recorded of the stage after that step will be recorded again,
        and must not be there twice.
        """

    @abstractmethod
    def record(self, entry: Entry) -> None:
        """Record an entry."""

    def finish(self, metrics: Mapping[str, float]) -> None:
        """Record the metrics of the finished checkpoint."""
