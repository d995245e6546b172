"""Progress of long work on a store."""

from collections.abc import Callable

Tell = Callable[[int, int], None]
"""Told how many streamers are done, and of how many."""


def tell_nobody(_done: int, _total: int) -> None:
    """Where nobody wants to know."""
