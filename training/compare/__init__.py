"""Comparison of recipes and baselines: plan, run, statistics and report."""
