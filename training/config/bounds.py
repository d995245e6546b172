"""Bounds of numeric settings; a name means the same in every recipe."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """An interval, closed unless stated otherwise."""

    least: float
    most: float = math.inf
    without_least: bool = False
    without_most: bool = False

    def allow(self, value: float) -> bool:
        """Whether a number is finite and inside the interval."""
        above = value > self.least if self.without_least else value >= self.least
        below = value < self.most if self.without_most else value <= self.most
        return above and below and math.isfinite(value)

    def __str__(self) -> str:
        if self.most < math.inf:
            first, last = "(" if self.without_least else "[", ")" if self.without_most else "]"
            return f"must be in {first}{self.least:g}, {self.most:g}{last}"
        if self.without_least:
            return f"must be more than {self.least:g}"
        return f"must be {self.least:g} or more"


_COUNT, _COUNT_OR_OFF, _WEIGHT = Bounds(1), Bounds(0), Bounds(0)
_POSITIVE = Bounds(0, without_least=True)
_SHARE, _PART = Bounds(0, 1), Bounds(0, 1, without_most=True)
_COSINE = Bounds(-1)  # above 1: never reached, which switches it off

BOUNDS = {
    "angle_weight": _WEIGHT,
    "audience_power": _WEIGHT,
    "batch_size": Bounds(2),
    "chunk_size": _COUNT_OR_OFF,
    "clip_norm": _POSITIVE,
    "clusters": _COUNT,
    "content_dim": _COUNT,
    "content_floor": _SHARE,
    "dim": _COUNT,
    "distance_weight": _WEIGHT,
    "dropout": _PART,
    "evaluate_every": _COUNT,
    "false_negative_cosine": _COSINE,
    "filter_quantile": _SHARE,
    "group_modality": _SHARE,
    "hard_negatives": _COUNT_OR_OFF,
    "hard_share": _PART,
    "hidden_dim": _COUNT,
    "id_temperature": _POSITIVE,
    "kernel_dropout": _PART,
    "kernel_hidden_dim": _COUNT,
    "kernel_landmarks": _COUNT_OR_OFF,
    "kernel_learning_rate": _POSITIVE,
    "kernel_rank": _COUNT,
    "kernel_table_dim": _COUNT,
    "kernel_temperature": _POSITIVE,
    "kernel_weight_decay": _WEIGHT,
    "learning_rate": _POSITIVE,
    "mask": Bounds(0, 1, without_least=True, without_most=True),
    "matryoshka_weight": _WEIGHT,
    "max_tokens": _COUNT,
    "min_document_frequency": _COUNT,
    "modality_dropout": Bounds(0, 0.5),  # applies to tokens and to vectors
    "negative_content_cosine": _COSINE,
    "negative_id_cosine": _COSINE,
    "negatives": _COUNT,
    "neighbours": _COUNT,
    "next": _COUNT,
    "overlap": _PART,
    "patience": _COUNT,
    "pretrain_steps": _COUNT_OR_OFF,
    "regression_weight": _WEIGHT,
    "sample": _COUNT,
    "softening": _POSITIVE,
    "steps": _COUNT_OR_OFF,
    "table_dim": _COUNT,
    "targets": _COUNT,
    "teacher_confidence": _WEIGHT,
    "teacher_dim": _COUNT,
    "teacher_iterations": _COUNT,
    "teacher_noise": _SHARE,
    "teacher_regularization": _WEIGHT,
    "temperature": _POSITIVE,
    "token_dropout": _PART,
    "two_hop": _SHARE,
    "vector_doublings": _COUNT_OR_OFF,
    "vector_weight": _WEIGHT,
    "warm_up": _PART,
    "weight_decay": _WEIGHT,
}
"""Setting -> bounds, for every number of every recipe."""
