"""Recipes and baselines side by side: planned, run, compared and reported."""
