"""What the training loop needs from a recipe."""

from abc import ABC, abstractmethod

import numpy as np
from torch import Tensor, nn

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

    @property
    def module(self) -> nn.Module:
        """Everything that the loop trains, saves and resumes: the encoder alone by default.

        A task with heads or a memory beside it returns a module that holds them, and the encoder
        under the name `encoder`, the same one at every call. The checkpoint keeps the encoder only.
        """
        return self.encoder

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
