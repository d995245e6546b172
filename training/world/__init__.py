"""A simulated world of streamers with known truth: who is alike, who is a copy, who watches."""

from training.world.world import World, generate

__all__ = ["World", "generate"]
