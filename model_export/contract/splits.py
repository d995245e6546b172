"""Splits of streamers, which a hash of their ids deals where a data set folder gives none.

Training learns by them and a release is tested by them: what one deals to `test`, the other asks.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "val", "test")
_HASHES = 2**64


def hashed_split(ids: Sequence[str], duplicates: NDArray[np.int64] | None) -> NDArray[np.str_]:
    """Split by a hash of the id: 70 % train, 10 % val, 20 % test; duplicate groups stay whole.

    A group is placed by its smallest id, so the split is independent of the file order.

    Args:
        ids: N streamer ids.
        duplicates: int64 (N,), group number of near-duplicates; None = unknown.

    Returns:
        (N,) of "train", "val", "test".
    """
    split = np.full(len(ids), "train", "<U5")
    for row, name in enumerate(placed_by(ids, duplicates)):
        share = hash_of(name) / _HASHES
        if share >= 0.7:
            split[row] = "val" if share < 0.8 else "test"
    return split


def placed_by(ids: Sequence[str], duplicates: NDArray[np.int64] | None) -> Sequence[str]:
    """Id that places each streamer: the smallest of its group."""
    if duplicates is None:
        return ids
    groups: list[int] = duplicates.tolist()
    smallest: dict[int, str] = {}
    for name, group in zip(ids, groups, strict=True):
        smallest[group] = min(name, smallest.get(group, name))
    return [smallest[group] for group in groups]


def hash_of(text: str) -> int:
    """Hash that places a streamer, from 0 to 2^64 - 1."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
