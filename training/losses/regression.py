"""Regression to a teacher's vectors (FitNets, Romero 2015)."""

from torch import Tensor


def regression(predicted: Tensor, target: Tensor, reliability: Tensor) -> Tensor:
    """Mean over rows of reliability_i * mean squared error.

    Args:
        predicted: (B, E).
        target: (B, E).
        reliability: (B,) in [0, 1], how far each target is trusted.

    Returns:
        A scalar; 0 for an empty batch.
    """
    if not len(predicted):
        return predicted.sum() * 0
    return (((predicted - target) ** 2).mean(1) * reliability).mean()
