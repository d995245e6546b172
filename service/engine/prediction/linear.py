"""Linear maps between vector spaces: ridge regression and orthogonal Procrustes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PENALTIES = (1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0, 10.0)
"""Ridge penalties to choose from, relative to the mean eigenvalue of the inputs' covariance."""
_BLOCK = 16384


@dataclass(frozen=True, eq=False)
class LinearMap:
    """The affine map x -> x @ matrix + offset.

    Attributes:
        matrix: float32 (D, E).
        offset: float32 (E,).
    """

    matrix: NDArray[np.float32]
    offset: NDArray[np.float32]

    def __call__(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map rows (..., D) to (..., E)."""
        return rows @ self.matrix + self.offset

    def then(self, rotation: NDArray[np.float32]) -> "LinearMap":
        """This map, followed by a matrix (E, F)."""
        return LinearMap(self.matrix @ rotation, self.offset @ rotation)


class Ridge:
    """Ridge regression from rows (n, D) to (n, E), for several penalties at the price of one.

    The offset is not penalised. The map is equivariant to rotations of the targets.
    """

    def __init__(
        self,
        inputs: NDArray[np.float32],
        targets: NDArray[np.float32],
        weights: NDArray[np.float32] | None = None,
    ) -> None:
        """Decompose the normal equations.

        Args:
            inputs: (n, D), n at least 1.
            targets: (n, E).
            weights: (n,) non-negative, how much each row counts; None: all alike.
        """
        share = np.ones(len(inputs)) if weights is None else weights.astype(np.float64)
        share = share / max(float(share.sum()), 1e-30)  # (n,)
        self._mean_in = share @ inputs  # (D,)
        self._mean_out = share @ targets  # (E,)
        covariance = np.zeros((inputs.shape[1],) * 2)  # (D, D)
        cross = np.zeros((inputs.shape[1], targets.shape[1]))  # (D, E)
        for begin in range(0, len(inputs), _BLOCK):
            part = slice(begin, begin + _BLOCK)
            centred = (inputs[part] - self._mean_in).astype(np.float32)  # (b, D)
            weighted = centred * share[part, None].astype(np.float32)
            covariance += weighted.T @ centred
            cross += weighted.T @ (targets[part] - self._mean_out).astype(np.float32)
        values, self._axes = np.linalg.eigh(covariance)
        self._values = values.clip(0)  # (D,)
        self._cross = self._axes.T @ cross  # (D, E)
        self._scale = max(float(self._values.mean()), 1e-12)

    def at(self, penalty: float) -> LinearMap:
        """The map for a penalty, relative to the mean eigenvalue of the inputs' covariance."""
        shrunk = self._cross / (self._values + penalty * self._scale)[:, None]
        matrix = self._axes @ shrunk  # (D, E)
        offset = self._mean_out - self._mean_in @ matrix
        return LinearMap(matrix.astype(np.float32), offset.astype(np.float32))


@dataclass(frozen=True, eq=False)
class Rotation:
    """The orthogonal matrix that brings one set of vectors nearest to another.

    Attributes:
        matrix: float32 (E, F), with orthonormal rows or columns.
        residual: share of the targets' squared length that it leaves, after the best common scale;
            0 for a mere rotation.
    """

    matrix: NDArray[np.float32]
    residual: float


def procrustes(source: NDArray[np.float32], target: NDArray[np.float32]) -> Rotation:
    """Orthogonal Procrustes (Schönemann 1966) from rows (n, E) to (n, F), up to one scale."""
    cross = source.astype(np.float64).T @ target  # (E, F)
    left, sizes, right = np.linalg.svd(cross, full_matrices=False)
    total = float((source.astype(np.float64) ** 2).sum() * (target.astype(np.float64) ** 2).sum())
    explained = float(sizes.sum()) ** 2 / total if total > 0 else 0.0
    return Rotation((left @ right).astype(np.float32), max(1.0 - explained, 0.0))


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows (..., E) of length 1; vanishing ones stay as they are."""
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    return (rows / np.where(norms < 1e-12, 1, norms)).astype(np.float32)


def cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Row-wise cosines (n,) of rows (n, E); 0 where one of them vanishes."""
    return np.einsum("ij,ij->i", unit(a), unit(b)).astype(np.float32)


def best_penalty(
    ridge: Ridge,
    inputs: NDArray[np.float32],
    targets: NDArray[np.float32],
    penalties: Sequence[float] = PENALTIES,
) -> float:
    """The penalty with the best mean cosine on held-out rows (n, D) and their targets (n, E)."""
    values = [float(cosines(ridge.at(p)(inputs), targets).mean()) for p in penalties]
    return penalties[int(np.argmax(values))]
