"""Hard negatives: nearest by content, but not related by behaviour.

Likely false negatives are excluded: streamers near by behaviour, and near-duplicates.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.numeric.blocks import blocks
from training.numeric.nearest import search_among

_CONSIDERED = 3
"""Candidates considered per wanted negative."""

Alike = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]]
"""Rows (R,) and candidates of each (R, K) -> which may be related (R, K)."""


@dataclass(frozen=True, eq=False)
class HardNegatives:
    """Hard negatives of N streamers.

    Attributes:
        table: int32 (N, H), nearest first, padded with -1.
    """

    table: NDArray[np.int32]

    @property
    def there(self) -> NDArray[np.bool_]:
        """Whether each streamer has any (N,)."""
        return self.table[:, 0] >= 0

    def draw(self, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw one negative per row (R,), uniformly; each row must have any."""
        choices = self.table[rows]  # (R, H)
        pick = (rng.random(len(rows)) * (choices >= 0).sum(1)).astype(np.int64)
        return choices[np.arange(len(rows)), pick].astype(np.int64)


def find_hard_negatives(
    rows: NDArray[np.int64],
    content: NDArray[np.float32],
    alike: Alike,
    count: int,
    same_from: float,
) -> HardNegatives:
    """Find the `count` nearest by content that are not related.

    Args:
        rows: streamers (R,) to find negatives for, among the N.
        content: unit rows (N, C).
        alike: which candidates may be related.
        count: H, fewer if the considered candidates do not suffice.
        same_from: content cosine above which two streamers are near-duplicates.
    """
    table = np.full((len(content), count), -1, np.int32)
    considered = min(_CONSIDERED * count + 1, len(content))
    search = search_among(content, content[rows])
    for part in blocks(len(rows), considered):
        asking = rows[part]
        near, cosines = search(content[asking], considered)  # (b, 3 H + 1)
        wrong = (near == asking[:, None]) | (cosines > same_from) | alike(asking, near)
        first = np.argsort(wrong, axis=1, kind="stable")[:, :count]
        taken = np.where(wrong, -1, near)
        table[asking, : first.shape[1]] = np.take_along_axis(taken, first, 1)
    return HardNegatives(table)
