"""Turns a new layout so that it lies on the one before: ordinary Procrustes analysis.

Gower (1975), "Generalized Procrustes analysis", for two sets of points in the plane.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_FEWEST = 3
"""Points by which a layout can be turned."""


@dataclass(frozen=True)
class Registration:
    """How well a layout lies on the one before.

    Attributes:
        shared: points that are in both.
        residual: root mean square distance that is left between them, as a share of how far they
            lie from their centre.
    """

    shared: int
    residual: float


def registered(
    places: NDArray[np.float32], ours: NDArray[np.int64], before: NDArray[np.float32]
) -> tuple[NDArray[np.float32], Registration] | None:
    """Places (n, 2) turned, mirrored, scaled and moved so that some lie where they lay before.

    Args:
        places: of the new layout.
        ours: rows (s,) of those that were in the one before.
        before: their places then (s, 2).

    Returns:
        None where too few are in both, or they lie on one point.
    """
    if len(ours) < _FEWEST:
        return None
    here, there = places[ours].astype(np.float64), before.astype(np.float64)
    centre, goal = here.mean(0), there.mean(0)
    here, there = here - centre, there - goal
    spread = float((here**2).sum())
    if not spread or not there.any():
        return None
    left, lengths, right = np.linalg.svd(here.T @ there)  # (2, 2)
    turn = left @ right * (lengths.sum() / spread)
    residual = np.sqrt(((here @ turn - there) ** 2).sum() / (there**2).sum())
    turned = (places - centre) @ turn + goal
    return turned.astype(np.float32), Registration(len(ours), round(float(residual), 4))
