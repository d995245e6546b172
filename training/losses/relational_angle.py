"""Relational distillation of angles (RKD-A, Park 2019)."""

import torch
from torch import Tensor
from torch.nn import functional


def relational_angle(student: Tensor, teacher: Tensor) -> Tensor:
    """Smooth L1 loss between the angles psi_ijk of student and teacher over distinct i, j, k.

    psi_ijk is the cosine of the angle at x_j between the directions to x_i and x_k. Memory grows
    with B^3.

    Args:
        student: outputs (B, D), not normalised.
        teacher: vectors (B, E) of the same rows.

    Returns:
        A scalar; 0 for fewer than three rows.
    """
    if len(student) < 3:
        return student.sum() * 0
    same = torch.eye(len(student), dtype=torch.bool, device=student.device)
    triples = ~(same[:, :, None] | same[:, None] | same[None])  # (B, B, B)
    errors = functional.smooth_l1_loss(_cosines(student), _cosines(teacher), reduction="none")
    return (errors * triples).sum() / triples.sum()


def _cosines(x: Tensor) -> Tensor:
    """Cosine of the angle at j between i and k, as [j, i, k] (B, B, B)."""
    differences = x[None] - x[:, None]  # (B, B, D): [j, i] = x_i - x_j
    square = (differences * differences).sum(-1, keepdim=True)
    directions = differences * torch.rsqrt(square.clamp(min=1e-12))
    return directions @ directions.transpose(1, 2)
