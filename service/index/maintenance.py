"""Indexes that must be rebuilt now and then to stay fast, and watched to stay right."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable


@runtime_checkable
class Maintained(Protocol):
    """An index that needs maintenance; all methods block, so call them in threads."""

    def is_due(self) -> bool:
        """Whether `rebuild` would make answers faster."""
        ...

    def rebuild(self, is_stopped: Callable[[], bool]) -> None:
        """Prepare faster answers, beside searches and writes; takes seconds to minutes.

        It ends early, with nothing changed, once it is stopped.
        """
        ...

    def check_recall(self) -> None:
        """Compare an approximate answer with the exact one; takes as long as an exact search.

        What is found to miss too many is not used any more.
        """
        ...
