"""What can go wrong while training, and what the person at the terminal is told.

TrainingError              ends the command with its message on stderr, exit status 1
├── DataError              a data set folder that cannot be trusted; lists its first bad lines
│   └── LeakError          something was learned from streamers that are held out
├── EvaluationError        saved measurements that are missing or damaged
├── OutputError            a place that cannot or must not be written to
├── CacheError             kept vectors of towers that can't be used
├── CheckpointError        a checkpoint that is none, is unfinished, damaged or of another run
├── DivergedError          training whose losses are no longer numbers
└── UsageError             options that make no sense together, exit status 2
"""

from model_export.errors import SourceError


class TrainingError(Exception):
    """Base of all errors that a person can mend; the message says how."""

    exit_status = 1


class DataError(TrainingError):
    """A data set folder that cannot be trusted."""


class LeakError(DataError):
    """Something was learned from streamers that are held out, so no figure could be trusted."""


class EvaluationError(TrainingError):
    """Saved measurements that are missing or damaged."""


class OutputError(TrainingError):
    """A place that cannot or must not be written to."""


class CacheError(TrainingError):
    """Kept vectors of towers that can't be used."""


class CheckpointError(TrainingError, SourceError):
    """A checkpoint that is none, is unfinished, damaged or of another run.

    A SourceError too, so that the exporter, which knows no trainer, can tell it to the person.
    """


class DivergedError(TrainingError):
    """Training whose losses are no longer numbers: its weights are lost."""


class UsageError(TrainingError):
    """Options that make no sense together."""

    exit_status = 2
