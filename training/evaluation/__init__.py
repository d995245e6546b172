"""Measures of retrieval on validation and test splits, with intervals."""
