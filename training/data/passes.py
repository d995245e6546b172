"""Lazy sequences for data that doesn't fit in memory: items are recomputed at every pass."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

A = TypeVar("A")
B = TypeVar("B")


class Passes(Sequence[A]):
    """Sequence that is read in passes.

    Indexing is possible, but each look-up is a pass up to that place; `pick` reads many items in
    one pass.
    """

    @abstractmethod
    def pick(self, places: NDArray[np.int64]) -> Iterator[A]:
        """Items at ascending places, in one pass."""

    def __iter__(self) -> Iterator[A]:
        return self.pick(np.arange(len(self)))

    @overload
    def __getitem__(self, place: int) -> A: ...
    @overload
    def __getitem__(self, place: slice) -> list[A]: ...
    def __getitem__(self, place: int | slice) -> A | list[A]:
        places = np.arange(len(self))[place]
        if isinstance(place, slice):
            return list(self.pick(places))
        return next(self.pick(np.array([places])))


class _Mapped(Passes[B], Generic[A, B]):
    """Lazy map of a function over another sequence."""

    def __init__(self, function: Callable[[A], B], items: Passes[A]) -> None:
        self._function, self._items = function, items

    def __len__(self) -> int:
        return len(self._items)

    def pick(self, places: NDArray[np.int64]) -> Iterator[B]:
        return map(self._function, self._items.pick(places))


class _Subset(Passes[A]):
    """Lazy subset of another sequence at ascending places."""

    def __init__(self, items: Passes[A], places: NDArray[np.int64]) -> None:
        self._items, self._places = items, places

    def __len__(self) -> int:
        return len(self._places)

    def pick(self, places: NDArray[np.int64]) -> Iterator[A]:
        return self._items.pick(self._places[places])


def mapped(function: Callable[[A], B], items: Sequence[A]) -> Sequence[B]:
    """Map a function over items: a list, or lazily for lazy sequences."""
    if isinstance(items, Passes):
        return _Mapped(function, items)
    return [function(item) for item in items]


def subset(items: Sequence[A], places: NDArray[np.int64]) -> Sequence[A]:
    """Items at ascending places: a list, or lazily for lazy sequences."""
    if isinstance(items, Passes):
        return _Subset(items, places)
    return [items[place] for place in places.tolist()]
