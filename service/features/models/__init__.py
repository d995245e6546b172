"""Changing the model of a store: re-encoding."""
