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
_NEARLY = 0.03
"""So much worse than the best on validation a way may be that is looked at by the cold start."""

Weights = Mapping[str, Tensor]


def choose_average(
    task: Task, start: Weights, trained: Weights, cold_start: Callable[[], float]
) -> tuple[float, dict[str, float]]:
    """Choose how much of the training counts, and one of `Task.ways`, by all three tasks.

    Less of it counts while that raises the mean of seen, unseen and cold start.

    Args:
        task: of any weights; is left with some of those that were tried.
        start: weights before training.
        trained: weights after it.
        cold_start: metric at a cold start of the weights that the task has finished with.

    Returns:
        The chosen one's metric of `Task.validate`, and its choices with `TRAINED_SHARE`.
    """
    highest, chosen = -math.inf, (math.nan, dict[str, float]())
    for share in _SHARES:
        task.module.load_state_dict(average(start, trained, share))
        best = task.validate()
        found: list[tuple[float, float, Mapping[str, float]]] = []
        for choices, value in task.ways or [(task.choices, best)]:
            if value >= best - _NEARLY * abs(best):
                task.choices = choices
                task.finish()
                cold = cold_start()  # `value` is the mean of the other two
                mean = value if math.isnan(cold) else (2 * value + cold) / 3
                found.append((mean, value, choices))
        mean, value, choices = max(found, key=lambda each: each[0])  # the first of equals
        if mean <= highest:
            break
        highest, chosen = mean, (value, {**choices, TRAINED_SHARE: share})
    return chosen


def average(start: Weights, trained: Weights, share: float) -> Weights:
    """Weights at a share of the way from the start to the trained ones."""
    if share == 1:
        return trained
    return {
        name: torch.lerp(start[name], value, share) if value.is_floating_point() else value
        for name, value in trained.items()
    }
