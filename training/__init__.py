"""Trains the encoder: data, teachers, losses, evaluation, calibration, comparisons."""
