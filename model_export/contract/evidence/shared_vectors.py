"""Vectors that the sides of pairs share, nearly: many pairs by products of matrices."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence.shared_keys import Places

Vectors = NDArray[np.float32]


class VectorSets:
    """Unit vectors of one space and width, of the sides of a list.

    Attributes:
        has: which sides have any (N,).
    """

    def __init__(self, by_place: Mapping[int, Vectors], size: int) -> None:
        """Index the vectors (V, width) of some of N = `size` sides, by their places, ascending."""
        counts = np.zeros(size, np.int64)
        counts[list(by_place)] = [len(vectors) for vectors in by_place.values()]
        self.has = counts > 0
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        self._vectors = np.concatenate(list(by_place.values()))

    def same(self, one: Places, other: Places, least: float) -> Places:
        """How many vectors pairs (P,), (P,) have in common: cosines >= `least`, each counted once.

        The pairs of one side are compared by one product, and most have nothing in common.
        """
        found = np.zeros(len(one), np.int64)
        rows = np.flatnonzero(self.has[one] & self.has[other])
        if not len(rows):
            return found
        rows = rows[np.argsort(one[rows], kind="stable")]
        begins = self._starts[other[rows]]
        counts = self._starts[other[rows] + 1] - begins
        ends = np.cumsum(counts)
        # Vectors of all other sides, one after the other: (L,).
        theirs = np.arange(int(ends[-1])) + np.repeat(begins - ends + counts, counts)
        first = np.flatnonzero(np.diff(one[rows], prepend=-1))
        stops, sides = np.append(first[1:], len(rows)), one[rows[first]]
        spans = first, stops, (ends - counts)[first], ends[stops - 1]
        bounds = np.stack([*spans, self._starts[sides], self._starts[sides + 1]], axis=1)
        for start, stop, begin, end, low, high in bounds.tolist():
            cosines = self._vectors[theirs[begin:end]] @ self._vectors[low:high].T  # (L, ours)
            same = cosines >= least
            if not same.any():
                continue
            parts = ends[start:stop] - counts[start:stop] - begin
            of_theirs = np.add.reduceat(same.any(1).astype(np.int64), parts)
            of_ours = np.logical_or.reduceat(same, parts).sum(1)
            found[rows[start:stop]] = np.minimum(of_theirs, of_ours)
        return found


def vector_sets(shown: Sequence[Mapping[str, Vectors]]) -> list[VectorSets]:
    """Vectors of the sides of a list, by space and width."""
    by_space: dict[tuple[str, int], dict[int, Vectors]] = {}
    for place, spaces in enumerate(shown):
        for space, vectors in spaces.items():
            if len(vectors):
                by_space.setdefault((space, vectors.shape[1]), {})[place] = vectors
    return [VectorSets(by_place, len(shown)) for by_place in by_space.values()]
