"""Regression to a teacher's vectors (FitNets, Romero 2015)."""

from torch import Tensor


def regression(predicted: Tensor, target: Tensor, reliability: Tensor) -> Tensor:
    """Weighted mean squared error: mean over rows of reliability_i * MSE_i.

    Args:
        predicted: (B, E).
        target: (B, E).
        reliability: weights (B,) in [0, 1].

    Returns:
        A scalar; 0 for an empty batch.
    """
    if not len(predicted):
        return predicted.sum() * 0
    return (((predicted - target) ** 2).mean(1) * reliability).mean()
