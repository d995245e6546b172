"""What two established streamers' audiences have in common, as the recommender learned it."""

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model_export.contract.established import Established

_SAMPLED: Final = 4000
"""Pairs of established streamers, of which the percentile is told to a tenth of a percent."""
_LEAST_PERCENTILE: Final = 95.0
"""Below it two audiences are not called shared: one pair of twenty would be by chance."""

TOLD: Final = re.compile(
    r"(?P<linked>viewers in common; )?"
    r"ID-embeddings nearer than those of (?P<percentile>[\d.]+) % of established pairs .*"
)
"""What `SharedAudience.of` says, for those who say it in other words."""


class SharedAudience:
    """Compares established streamers by their ID-embeddings and the graph of shared audiences."""

    def __init__(self, established: Established | None, rows: Mapping[str, int]) -> None:
        """Without a list of the established nothing is known of any audience.

        Args:
            established: as the bundle has them, if it does.
            rows: of each of them, by its id.
        """
        self._known = established
        self._rows = rows
        self._chance = np.zeros(0, np.float32)
        if established is not None and len(rows) > 1:
            rng = np.random.default_rng(0)
            one = rng.integers(0, len(rows), _SAMPLED)
            other = (one + rng.integers(1, len(rows), _SAMPLED)) % len(rows)
            units = [_units(established.vectors[rows]) for rows in (one, other)]  # (S, E)
            self._chance = np.sort((units[0] * units[1]).sum(1))  # (S,)

    def of(self, seed: str, hit: str) -> str | None:
        """That two streamers share an audience, in words; None where that is not known."""
        ours, theirs = self._rows.get(seed), self._rows.get(hit)
        if self._known is None or ours is None or theirs is None or not len(self._chance):
            return None
        units = _units(self._known.vectors[[ours, theirs]])  # (2, E)
        cosine = float(units[0] @ units[1])
        below = float(np.searchsorted(self._chance, cosine)) / len(self._chance)
        percentile = min(100 * below, 99.9)
        if percentile < _LEAST_PERCENTILE:
            return None
        told = f"ID-embeddings nearer than those of {percentile:.1f} % of established pairs"
        linked = "viewers in common; " if self._are_linked(ours, theirs) else ""
        return f"{linked}{told} (cosine {cosine:.2f})"

    def _are_linked(self, ours: int, theirs: int) -> bool:
        graph = None if self._known is None else self._known.graph
        if graph is None:
            return False
        return any(
            other in graph.indices[graph.indptr[row] : graph.indptr[row + 1]]
            for row, other in ((ours, theirs), (theirs, ours))
        )


def _units(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Rows (R, E) of unit length."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
