"""Splits that are dealt anew, for several fits on one data set."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model_export.contract.splits import SPLITS, hash_of, placed_by


def dealt_split(
    ids: Sequence[str],
    split: NDArray[np.str_],
    duplicates: NDArray[np.int64] | None,
    number: int,
) -> NDArray[np.str_]:
    """Deal the streamers of a split anew, in the same proportions.

    Streamers are ordered by a hash of their id with the number, and the first are train, the next
    val, the last test. Duplicate groups stay whole, so sizes may differ by a part of a group.

    Args:
        ids: N streamer ids.
        split: (N,) of "train", "val", "test"; gives the sizes.
        duplicates: int64 (N,), group number of near-duplicates; None = unknown.
        number: other numbers deal in other ways.

    Returns:
        (N,) of "train", "val", "test", independent of the file order.
    """
    hashes = [hash_of(f"{number}\0{name}") for name in placed_by(ids, duplicates)]
    _, group, sizes = np.unique(
        np.array(hashes, np.uint64), return_inverse=True, return_counts=True
    )
    middles = np.cumsum(sizes) - sizes / 2
    ends = np.cumsum([np.count_nonzero(split == part) for part in SPLITS])
    return np.array(SPLITS)[np.searchsorted(ends, middles, side="right")][group]
