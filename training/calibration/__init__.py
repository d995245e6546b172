"""Calibration: which precision a score promises.

truth     which pairs are right, and who asks whom
answers   all labelled pairs that score high enough to be answers
curves    answers to thresholds with their precision and its confidence bound
scale     thresholds of one encoder on the scale of another
scores    the two scores of a model, from a stage of a fit
"""

from training.calibration.scores import (
    Measured,
    calibrate_content,
    calibrate_embedding,
    calibrate_embeddings,
    calibration_of,
    carry_over,
)

__all__ = [
    "Measured",
    "calibrate_content",
    "calibrate_embedding",
    "calibrate_embeddings",
    "calibration_of",
    "carry_over",
]
