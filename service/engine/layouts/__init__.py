"""Layouts of the corpus in two dimensions: fitted on a sample, and everyone else placed by it."""

STEPS = 65_534
"""Places on a map are whole numbers from 0 to this one, in both directions."""
