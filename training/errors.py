"""Errors of the training commands.

TrainingError              ends the command with its message on stderr, exit status 1
├── DataError              an invalid data set folder; lists the first errors
│   └── LeakError          held-out streamers would be learned from, or were
├── EvaluationError        saved evaluations that are missing or damaged
├── OutputError            a path that can't or must not be written
├── CacheError             an unusable cache of tower vectors
├── CheckpointError        a checkpoint that is missing, unfinished, damaged or of another fit
├── DivergedError          a loss that is no longer finite
└── UsageError             invalid or inconsistent options, exit status 2
"""

from model_export.errors import SourceError


class TrainingError(Exception):
    """Base of the errors of training; the message states the remedy."""

    exit_status = 1


class DataError(TrainingError):
    """An invalid data set folder."""


class LeakError(DataError):
    """Held-out streamers were learned from, or would be, so results would be invalid."""


class EvaluationError(TrainingError):
    """Saved evaluations that are missing or damaged."""


class OutputError(TrainingError):
    """A path that can't or must not be written."""


class CacheError(TrainingError):
    """An unusable cache of tower vectors."""


class CheckpointError(TrainingError, SourceError):
    """A checkpoint that is missing, unfinished, damaged or of another fit.

    It is also a SourceError, which the exporter reports without knowing the trainer.
    """


class DivergedError(TrainingError):
    """A loss that is no longer finite."""


class UsageError(TrainingError):
    """Invalid or inconsistent options."""

    exit_status = 2
