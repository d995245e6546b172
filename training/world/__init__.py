"""Simulated world of streamers with ground truth: topics, duplicates and audiences."""

from training.world.world import World, generate

__all__ = ["World", "generate"]
