"""Numbers in arguments, checked before anything runs."""

import argparse
import math
from collections.abc import Callable

MOST_SEED = 2**32 - 1
"""The largest seed that NumPy, scikit-learn and PyTorch all take."""
MOST_THREADS = 1024
_SHOWN = 40


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
