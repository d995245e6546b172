"""Average of the weights before and after training, which often generalises better than either.

That is WiSE-FT (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models"), for tasks whose
weights at the start are good already.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from training.tasks.base import Task

TRAINED_SHARE = "trained_share"
"""Name of the share of the way from the start to the trained weights, among a task's choices."""
_SHARES = (1.0, 0.75, 0.5, 0.25)

Weights = Mapping[str, Tensor]


def choose_average(
    task: Task, start: Weights, trained: Weights, cold_start: Callable[[], float]
) -> tuple[float, dict[str, float]]:
    """Choose how much of the training counts: less, while that raises the mean of all three tasks.

    Args:
        task: of any weights; is left with the last that were tried.
        start: weights before training.
        trained: weights after it.
        cold_start: metric at a cold start of the weights that the task has finished with.

    Returns:
        The chosen weights' metric of `Task.validate`, and their choices with `TRAINED_SHARE`.
    """
    highest, chosen = -math.inf, (math.nan, dict[str, float]())
    for share in _SHARES:
        task.module.load_state_dict(average(start, trained, share))
        value = task.validate()
        task.finish()
        cold = cold_start()
        mean = value if math.isnan(cold) else (2 * value + cold) / 3  # `value`: seen and unseen
        if not mean > highest:
            break
        highest, chosen = mean, (value, {**task.choices, TRAINED_SHARE: share})
    return chosen


def average(start: Weights, trained: Weights, share: float) -> Weights:
    """Weights at a share of the way from the start to the trained ones."""
    if share == 1:
        return trained
    return {
        name: torch.lerp(start[name], value, share) if value.is_floating_point() else value
        for name, value in trained.items()
    }
