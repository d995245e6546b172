"""How a fit is going: a bar on a terminal, plain lines elsewhere."""

import math
import sys
from collections.abc import Mapping
from typing import TextIO

from tqdm import tqdm


class Progress:
    """Reports the steps of one stage; use as a context manager."""

    def __init__(self, stage: str, steps: int, metric: str, stream: TextIO | None = None) -> None:
        """A report to begin.

        Args:
            stage: its name.
            steps: how many there are at most.
            metric: the name of what validation measures.
            stream: where to; standard error by default.
        """
        self._stage, self._metric = stage, metric
        self._stream = sys.stderr if stream is None else stream
        self._losses = ""
        terminal = self._stream.isatty()
        self._bar = tqdm(total=steps, desc=stage, file=self._stream) if terminal else None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def stepped(self, step: int, losses: Mapping[str, float]) -> None:
        """A step was made."""
        self._losses = "".join(f", {name} {value:.3f}" for name, value in losses.items())
        if self._bar is not None:
            self._bar.update(step - self._bar.n)

    def checked(self, step: int, value: float) -> None:
        """It was time for a validation; NaN = nothing is held out."""
        measured = "" if math.isnan(value) else f"{self._metric} {value:.4f}"
        if self._bar is not None:
            self._bar.set_postfix_str(measured)
        else:
            text = ": ".join(part for part in (f"{self._stage} step {step}", measured) if part)
            self._stream.write(f"{text}{self._losses}\n")
            self._stream.flush()
