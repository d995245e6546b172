"""Interface between the training loop and a recipe."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from training.models.distributed import Compute
from training.models.encoder import StreamerEncoder


class Task(ABC):
    """A trainable model with its losses and its validation.

    Attributes:
        encoder: encoder that the checkpoint keeps.
        settled_from: first step at which early stopping counts.
        starts_well: whether the weights at the start may serve, so that an average of the trained
            ones with them may be better than either.
        choices: what `validate` chose besides for the weights that it measured. A task without
            validation is given what another chose.
    """

    encoder: StreamerEncoder
    settled_from: int = 0
    starts_well: bool = False
    choices: Mapping[str, float] = {}

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

    def parameter_groups(self, learning_rate: float, weight_decay: float) -> list[dict[str, Any]]:
        """Groups of all trained parameters for AdamW, each with its peak rate and weight decay."""
        parameters = list(self.module.parameters())
        return [{"params": parameters, "lr": learning_rate, "weight_decay": weight_decay}]

    @abstractmethod
    def losses(self, step: int) -> dict[str, Tensor]:
        """Losses of a step; keys ending in `_loss` are summed, others are only reported.

        All randomness comes from (seed, step), so a resumed run equals an uninterrupted one.
        """

    @abstractmethod
    def validate(self) -> float:
        """Metric on held-out streamers, higher is better; NaN without validation."""

    def encoder_replaced(self) -> None:  # noqa: B027 - most tasks copy nothing of it
        """Follow weights that the encoder was given after this task was built."""

    def finish(self) -> None:  # noqa: B027 - most tasks need nothing
        """Solve for what follows from the weights and `choices`; called with each that may stay."""


def step_generator(seed: int, step: int) -> np.random.Generator:
    """Random generator of a step."""
    return np.random.default_rng([seed, step])
