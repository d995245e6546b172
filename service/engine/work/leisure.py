"""Questions that nobody waits for, asked by the code that serves those who wait."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

_IS_AT_LEISURE = ContextVar("is_at_leisure", default=False)


@contextmanager
def at_leisure() -> Generator[None, None, None]:
    """Searches and encodings of this task are bulk work until it ends, however short they are."""
    token = _IS_AT_LEISURE.set(True)
    try:
        yield
    finally:
        _IS_AT_LEISURE.reset(token)


def is_at_leisure() -> bool:
    """Whether this task's work is bulk work."""
    return _IS_AT_LEISURE.get()
