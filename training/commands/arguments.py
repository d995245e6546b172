"""Numbers and files in arguments, checked before anything runs."""

import argparse
import errno
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from training.errors import OutputError

MOST_SEED = 2**32 - 1
"""The largest seed that NumPy, scikit-learn and PyTorch all take."""
MOST_THREADS = 1024
_SHOWN = 40


def check_output(option: str, file: Path) -> None:
    """Create the folder of an output file, and check that the file can be written.

    Raises:
        OutputError: it can't; names the option.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        tempfile.TemporaryFile(dir=file.parent).close()
    except OSError as error:
        raise OutputError(
            f"{option} {file} can't be written: {error.strerror}; choose another place"
        ) from error


def whole_number(least: int, most: int = 2**31 - 1) -> Callable[[str], int]:
    """Type of an option that takes a whole number from `least` to `most`."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {least} to {most}, not {text[:_SHOWN]!r}"
            )
        return number

    return read


def above_zero(text: str) -> float:
    """Type of an option that takes a finite number above zero."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text[:_SHOWN]!r}")
    return number
