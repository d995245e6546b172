"""The generations that a replica serves, one of each space."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from service.engine.spaces.array_file import Keep
from service.engine.spaces.generation import Fitted, Generation, row_of


def _no_rows() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class ServedGeneration:
    """A generation and what was fitted on it, taken together for the whole of an answer.

    Attributes:
        generation: whose vectors are served.
        fitted: what `FitGeneration` made of it.
        erased_users: users of it that were erased since it was loaded; no answer names them.
        erased_streamers: likewise; no answer has their vectors.
        erased_rows: int64 (e,), theirs in the generation.
    """

    generation: Generation
    fitted: Fitted
    erased_users: frozenset[str] = frozenset()
    erased_streamers: frozenset[str] = frozenset()
    erased_rows: NDArray[np.int64] = field(default_factory=_no_rows)

    def kept(self, keep: Keep) -> Self:
        """A copy with its large arrays elsewhere."""
        generation = self.generation.kept(keep)
        return replace(self, generation=generation, fitted=self.fitted.kept(generation, keep))

    def without(self, users: Collection[str], streamers: Collection[str]) -> Self:
        """A copy that shows some users and streamers no more; their rows are looked up once."""
        rows = [row_of(self.generation, name) for name in streamers]
        gone = np.array([row for row in rows if row is not None], np.int64)
        return replace(
            self,
            erased_users=self.erased_users.union(users),
            erased_streamers=self.erased_streamers.union(streamers),
            erased_rows=np.union1d(self.erased_rows, gone),
        )


class ActiveSpaces:
    """What this replica serves.

    Whoever answers takes one snapshot by `get` and reads nothing else: it never changes, and a
    promotion puts another one in its place in one assignment.
    """

    def __init__(self) -> None:
        """Serve nothing."""
        self._served: Mapping[str, ServedGeneration] = {}
        self._expected: frozenset[str] = frozenset()
        self._given_up: frozenset[str] = frozenset()

    def get(self, space: str) -> ServedGeneration | None:
        """What is served of a space; None if nothing was promoted or loaded yet."""
        return self._served.get(space)

    def names(self) -> Sequence[str]:
        """The spaces of which something is served, in order."""
        return sorted(self._served)

    def expected(self) -> Sequence[str]:
        """The spaces of which something shall be served, in memory yet or not, in order."""
        return sorted(self._expected | set(self._served))

    @property
    def is_complete(self) -> bool:
        """Whether something is served of each space of which it shall be and can be."""
        return self._expected - self._given_up <= self._served.keys()

    def expect(self, spaces: Iterable[str], given_up: Iterable[str] = ()) -> None:
        """Something of these spaces shall be served; of those given up it can't be loaded now."""
        self._expected, self._given_up = frozenset(spaces), frozenset(given_up)

    def switch(self, served: ServedGeneration) -> None:
        """Serve a generation from now on, in place of that of the same space."""
        self._served = {**self._served, served.generation.space: served}

    def withdraw(self, space: str) -> None:
        """Serve nothing of a space any more."""
        self._served = {name: kept for name, kept in self._served.items() if name != space}
