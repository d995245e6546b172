"""Splits that are dealt by hashes of ids, with known near-duplicates together."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.data.tables import SPLITS

_HASHES = 2**64


def hashed_split(ids: Sequence[str], duplicates: NDArray[np.int64] | None) -> NDArray[np.str_]:
    """Split by a hash of the id: 70 % train, 10 % val, 20 % test; duplicate groups stay whole.

    A group is placed by its smallest id, so the split is independent of the file order.
    """
    split = np.full(len(ids), "train", "<U5")
    for row, name in enumerate(_placed_by(ids, duplicates)):
        share = _hash(name) / _HASHES
        if share >= 0.7:
            split[row] = "val" if share < 0.8 else "test"
    return split


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
    hashes = [_hash(f"{number}\0{name}") for name in _placed_by(ids, duplicates)]
    _, group, sizes = np.unique(
        np.array(hashes, np.uint64), return_inverse=True, return_counts=True
    )
    middles = np.cumsum(sizes) - sizes / 2
    ends = np.cumsum([np.count_nonzero(split == part) for part in SPLITS])
    return np.array(SPLITS)[np.searchsorted(ends, middles, side="right")][group]


def _placed_by(ids: Sequence[str], duplicates: NDArray[np.int64] | None) -> Sequence[str]:
    """Id that places each streamer: the smallest of its group."""
    if duplicates is None:
        return ids
    smallest: dict[int, str] = {}
    for name, group in zip(ids, duplicates.tolist(), strict=True):
        smallest[group] = min(name, smallest.get(group, name))
    return [smallest[group] for group in duplicates.tolist()]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
