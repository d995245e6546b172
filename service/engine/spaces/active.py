"""The generations that a replica serves, one of each space."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from service.engine.spaces.generation import Generation

Kept = TypeVar("Kept")


@dataclass(frozen=True, eq=False)
class ServedGeneration:
    """A generation and what was fitted on it, taken together for the whole of an answer.

    Attributes:
        generation: whose vectors are served.
        fitted: what `FitGeneration` made of it.
        erased_users: users of it that were erased since it was loaded; no answer names them.
    """

    generation: Generation
    fitted: object
    erased_users: frozenset[str] = frozenset()


class ActiveSpaces:
    """What this replica serves.

    Whoever answers takes one snapshot by `get` and reads nothing else: it never changes, and a
    promotion puts another one in its place in one assignment.
    """

    def __init__(self) -> None:
        """Serve nothing."""
        self._served: Mapping[str, ServedGeneration] = {}
        self._awaited: Mapping[str, str] = {}

    @property
    def awaited(self) -> Mapping[str, str]:
        """Spaces that this replica should serve and does not have in memory yet, and what is up.

        What was asked of them is answered by nothing else: by another space it would be wrong.
        """
        return self._awaited

    def get(self, space: str) -> ServedGeneration | None:
        """What is served of a space; None if nothing was promoted or loaded yet."""
        return self._served.get(space)

    def names(self) -> Sequence[str]:
        """The spaces of which something is served, in order."""
        return sorted(self._served)

    def switch(self, served: ServedGeneration) -> None:
        """Serve a generation from now on, in place of that of the same space."""
        space = served.generation.space
        self._served = {**self._served, space: served}
        self._awaited = _without(self._awaited, space)

    def wait_for(self, space: str, state: str) -> None:
        """Serve nothing of a space until `switch`, since it is in the `state` that is told."""
        if self._awaited.get(space) != state:
            self._awaited = {**self._awaited, space: state}

    def withdraw(self, space: str) -> None:
        """Serve nothing of a space any more."""
        self._served = _without(self._served, space)
        self._awaited = _without(self._awaited, space)


def _without(spaces: Mapping[str, Kept], space: str) -> Mapping[str, Kept]:
    return {name: kept for name, kept in spaces.items() if name != space}
