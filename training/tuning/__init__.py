"""Towers that go on learning: an encoder of Hugging Face's, tuned on what streamers show."""

from training.tuning.folder import write_tuned
from training.tuning.tune import Options, Tuned, tune

__all__ = ["Options", "Tuned", "tune", "write_tuned"]
