"""How sure a difference is."""

import numpy as np
from numpy.typing import NDArray


def interval(values: NDArray[np.float64], draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over queries; of differences, it is a paired one."""
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(draws)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
