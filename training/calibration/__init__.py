"""Calibration: which precision a score promises.

truth     which pairs are right, and who asks whom
answers   all labelled pairs that score high enough to be answers
curves    answers to thresholds with their precision and its confidence bound
scores    the two scores of a model, from a stage of a fit
"""

from training.calibration.scores import calibrate_content, calibrate_embedding, carry_over

__all__ = ["calibrate_content", "calibrate_embedding", "carry_over"]
