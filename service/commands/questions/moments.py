"""Moments as people write them, in options."""

import argparse
import contextlib
from datetime import UTC, datetime

EVER = "ever"
_EARLIEST = 1e9
"""Seconds since 1970, in 2001: a smaller number is a year or a day without its dashes."""


def moment(text: str) -> float:
    """Type of an option that takes a moment: seconds since 1970, a day or time (UTC), or `ever`."""
    if text == EVER:
        return 0.0
    with contextlib.suppress(ValueError):
        if (seconds := float(text)) >= _EARLIEST or seconds == 0:
            return seconds
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            "must be a day such as 2030-01-31, a time such as 2030-01-31T18:00, seconds since "
            f"1970, or {EVER}, not {text[:40]!r}"
        ) from None
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()


def shown(seconds: float) -> str:
    """A moment by the clock of the terminal, as ISO 8601 with the offset; `moment` takes it."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().isoformat(timespec="seconds")
