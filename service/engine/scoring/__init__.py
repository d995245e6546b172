"""From seeds to scores, and from scores to calibrated precision."""
