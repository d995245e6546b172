"""What the training loop needs from a recipe."""

from abc import ABC, abstractmethod

import numpy as np
from torch import Tensor, nn

from training.models.distributed import Compute
from training.models.encoder import StreamerEncoder


class Task(ABC):
    """Owns a model and its losses.

    Attributes:
        encoder: what the checkpoint keeps; a frozen teacher is never a module, so it can't be
            trained.
        settled_from: the step at which what counts begins; training never stops early before it.
    """

    encoder: StreamerEncoder
    settled_from: int = 0

    _module: nn.ModuleDict | None = None

    @property
    def module(self) -> nn.Module:
        """All that is trained, saved and resumed: the encoder, and what `train_with` added."""
        return self.encoder if self._module is None else self._module

    @property
    def compute(self) -> Compute:
        """Device, precision and processes of the training."""
        return self.encoder.compute

    def train_with(self, **modules: nn.Module) -> None:
        """Train modules together with the encoder; the checkpoint keeps the encoder only."""
        self._module = nn.ModuleDict({"encoder": self.encoder, **modules})

    @abstractmethod
    def losses(self, step: int) -> dict[str, Tensor]:
        """The losses of a step; keys that end in `_loss` are summed, others are only reported.

        All randomness comes from (seed, step), so that a resumed run repeats an uninterrupted one.
        """

    @abstractmethod
    def validate(self) -> float:
        """Quality on streamers that are held out of this stage, more is better; NaN for none."""

    def finish(self) -> None:  # noqa: B027 - most have nothing to do
        """Called once, when the chosen weights stand: for what is solved rather than trained."""


def step_generator(seed: int, step: int) -> np.random.Generator:
    """The random numbers of one step."""
    return np.random.default_rng([seed, step])
