"""Relational distillation of distances (RKD-D, Park 2019)."""

import torch
from torch import Tensor
from torch.nn import functional


def relational_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Smooth L1 loss between the distances psi_ij of student and teacher over pairs i != j.

    psi_ij = ||x_i - x_j|| / mean over pairs of ||x_k - x_l||, which is scale-free.

    Args:
        student: outputs (B, D), not normalised.
        teacher: vectors (B, E) of the same rows.

    Returns:
        A scalar; 0 for fewer than two rows.
    """
    if len(student) < 2:
        return student.sum() * 0
    pairs = ~torch.eye(len(student), dtype=torch.bool, device=student.device)
    return functional.smooth_l1_loss(_relative(student, pairs), _relative(teacher, pairs))


def _relative(x: Tensor, pairs: Tensor) -> Tensor:
    """Distances of the pairs divided by their mean (B * (B - 1),)."""
    square = (x * x).sum(1)
    squares = square[:, None] + square[None] - 2 * x @ x.T  # (B, B)
    distance = squares[pairs].clamp(min=1e-12).sqrt()
    return distance / distance.mean()
