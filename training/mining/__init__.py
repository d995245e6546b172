"""Positive pairs, hard negatives and supervised pairs."""
