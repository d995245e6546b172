"""Drift: whether what streamers show of late is what they showed before."""
