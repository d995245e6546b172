"""Layouts of the corpus in two dimensions: fitted on a sample, and everyone else placed by it."""
