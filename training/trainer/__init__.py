"""The training loop: fit, progress, logs of metrics."""
