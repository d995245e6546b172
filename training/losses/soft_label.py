"""Soft-label distillation of the similarities within a batch (Hinton 2015; SEED, Fang 2021)."""

from torch import Tensor


def soft_label(student: Tensor, teacher: Tensor, excluded: Tensor, temperature: float) -> Tensor:
    """Distillation loss: T^2 * mean_i KL(softmax_j(teacher_ij / T) || softmax_j(student_ij / T)).

    The factor T^2 makes the gradient independent of T.

    Args:
        student: similarities (B, B) of the student, as logits.
        teacher: those of the teacher (B, B).
        excluded: bool (B, B), pairs to ignore (self, duplicates).
        temperature: T.

    Returns:
        A scalar, the mean over the rows with any pair; 0 without any.
    """
    wanted = (teacher / temperature).masked_fill(excluded, -1e9).log_softmax(1)
    found = (student / temperature).masked_fill(excluded, -1e9).log_softmax(1)
    divergence = (wanted.exp() * (wanted - found)).masked_fill(excluded, 0).sum(1)  # (B,)
    rows = (~excluded).any(1).to(divergence.dtype)
    return temperature**2 * (divergence * rows).sum() / rows.sum().clamp(min=1)
