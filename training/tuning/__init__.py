"""Fine-tuning of Hugging Face towers on streamers' pieces."""

from training.tuning.folder import write_tuned
from training.tuning.tune import Options, Tuned, tune

__all__ = ["Options", "Tuned", "tune", "write_tuned"]
