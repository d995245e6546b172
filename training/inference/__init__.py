"""A checkpoint at work: loading, representations, robustness by modality."""
