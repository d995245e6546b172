"""Batches of features: bags of tokens, dropout, masked views, vocabulary."""
