"""Calibration: the precision of answers above a score.

truth     ground truth: queries, gallery, and which pairs are relevant
answers   all labelled pairs with scores high enough to be answers
curves    thresholds with their precision and its confidence bound
coverage  precision by the share of a query that the encoder knows
scale     mapping of thresholds from one encoder to another
scores    calibration of embedding and content scores in a fit

Bounds are valid for the encoder of the selection stage. After a refit on train + val no labelled
streamer is held out, so the mapped thresholds carry estimates without a guarantee.
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
