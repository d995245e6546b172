"""Batches of features: bags of tokens, padding, masked views, vocabulary."""
