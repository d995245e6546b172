"""Moments as people write them, in options."""

import argparse
import time
from datetime import UTC, datetime

EVER = "ever"


def moment(text: str) -> float:
    """Type of an option that takes a moment: seconds since 1970, a day or time (UTC), or `ever`."""
    if text == EVER:
        return 0.0
    try:
        return float(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be a day such as 2030-01-31, a time such as 2030-01-31T18:00, or {EVER}, not "
            f"{text[:40]!r}"
        ) from None
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()


def shown(seconds: float) -> str:
    """A moment on a terminal, by its clock."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
