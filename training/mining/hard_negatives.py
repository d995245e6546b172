"""Hard negatives: those nearest by content that are not alike all the same.

Whoever might be alike after all is left out: who is near by behaviour, and who shows all but the
same.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.numeric.topk import nearest_to

_CONSIDERED = 3
"""Times as many are considered as are wanted."""

Alike = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]]
"""Rows (R,) and others of each (R, K) -> which of these may be alike (R, K)."""


@dataclass(frozen=True, eq=False)
class HardNegatives:
    """The hard negatives of some of N streamers.

    Attributes:
        table: int64 (N, H), nearest first; -1 for none, after all others.
    """

    table: NDArray[np.int64]

    @property
    def there(self) -> NDArray[np.bool_]:
        """Who has any (N,)."""
        return self.table[:, 0] >= 0

    def draw(self, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """One of each of these rows (R,), who must have any; all are as likely."""
        choices = self.table[rows]  # (R, H)
        pick = (rng.random(len(rows)) * (choices >= 0).sum(1)).astype(np.int64)
        return choices[np.arange(len(rows)), pick]


def find_hard_negatives(
    rows: NDArray[np.int64],
    content: NDArray[np.float32],
    alike: Alike,
    count: int,
    same_from: float,
) -> HardNegatives:
    """The `count` nearest by content that are not alike.

    Args:
        rows: for whom (R,), among the N.
        content: unit rows (N, C).
        alike: who may be alike.
        count: H, how many of each; fewer where there are no more among those considered.
        same_from: content cosine above which two show all but the same.
    """
    table = np.full((len(content), count), -1)
    considered = min(_CONSIDERED * count + 1, len(content))
    near, cosines = nearest_to(content[rows], content, considered)  # (R, 3 H + 1)
    wrong = (near == rows[:, None]) | (cosines > same_from) | alike(rows, near)
    first = np.argsort(wrong, axis=1, kind="stable")[:, :count]
    taken = np.where(wrong, -1, near)
    table[rows, : first.shape[1]] = np.take_along_axis(taken, first, 1)
    return HardNegatives(table)
