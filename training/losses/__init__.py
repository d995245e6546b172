"""Losses of the training tasks."""
