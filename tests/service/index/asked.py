"""Asks an index without an event loop: with `Inline` work its coroutines wait for nothing."""

from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import numpy as np

from service.index.base import Matches, Remove, Row, SearchResult, Upsert, VectorIndex
from service.index.query import Query, ScoringSpec

T = TypeVar("T")


def now(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that gives others their turn at most."""
    while True:
        try:
            assert coroutine.send(None) is None
        except StopIteration as end:
            return end.value


def put(
    index: VectorIndex, name: str, version: int, embedding: bytes, content: bytes, facets: bytes
) -> None:
    now(index.apply([Upsert(name, version, embedding, content, facets)]))


def drop(index: VectorIndex, name: str, version: int) -> None:
    now(index.apply([Remove(name, version)]))


def rows_of(index: VectorIndex, names: Sequence[str]) -> list[Row | None]:
    return now(index.get(names))


def query_of(vector: np.ndarray, k: int = 10, *, scored: bool = False, **options: Any) -> Query:
    """The nearest of a vector (D,); `scored`: by two seeds, which are the same."""
    scoring = ScoringSpec.nearest(vector)
    if scored:
        scoring = ScoringSpec(np.stack([vector, vector]), (1, 1), "best_score")
    return Query(scoring, k, **options)


def search(index: VectorIndex, vector: np.ndarray, k: int = 10, **options: Any) -> SearchResult:
    return now(index.search(query_of(vector, k, **options)))


def matches(index: VectorIndex, vector: np.ndarray, min_score: float, **options: Any) -> Matches:
    return now(index.matches(query_of(vector, min_score=min_score, **options)))
