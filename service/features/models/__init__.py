"""Changing the model: the life cycle of models, and re-encoding a store."""
