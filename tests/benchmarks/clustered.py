"""Vectors as encoders make them: in clusters of very different sizes, not spread evenly."""

import numpy as np
from numpy.typing import NDArray


def clustered(
    count: int, dim: int = 128, *, spread: float = 0.7, seed: int = 0
) -> NDArray[np.float32]:
    """Unit vectors (count, dim) around centres that themselves lie around fewer centres.

    Sizes of clusters follow a power law; `spread` is the length of the noise beside a centre's 1.
    Independent vectors have neighbours that are hardly nearer than anyone else, and flatter or
    damn an index for no good reason.
    """
    rng = np.random.default_rng(seed)

    def around(centres: NDArray[np.float32], many: int) -> NDArray[np.float32]:
        weights = 1 / np.arange(1, len(centres) + 1) ** 0.7
        chosen = rng.choice(len(centres), many, p=weights / weights.sum())
        noise = rng.standard_normal((many, dim), dtype=np.float32) * (spread / dim**0.5)
        return unit((centres[chosen] + noise).astype(np.float32))

    topics = unit(rng.standard_normal((max(count // 2000, 8), dim)).astype(np.float32))
    styles = around(topics, max(count // 50, 16))
    vectors = np.empty((count, dim), np.float32)
    for start in range(0, count, 50_000):
        vectors[start : start + 50_000] = around(styles, min(50_000, count - start))
    return vectors


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same directions (N, D), of length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
