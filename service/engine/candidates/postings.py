"""An inverted index of exact keys, in eight bytes a key.

Keys are hashes of 32 bits: two different ones may be taken for the same, which makes a needless
candidate and misses none. Most of the postings are two sorted arrays; the newest are in a dict,
until there are enough of them to be merged. What a row had before is skipped: a key counts only
where the row still has it. Few rows are void at a time, so few postings are skipped for a key.
"""

from array import array
from collections.abc import Set as AbstractSet

import numpy as np
from numpy.typing import NDArray

MOST_ROWS = 128
"""Rows of a key that are given: whoever shares it has an edge with these, so all are connected."""
_MOST_VOID = 8 * MOST_ROWS
"""Void rows above which their postings are merged away: a key has at most one of each row."""
_FRESH = 8192
_FEWEST = 1024
Keys = NDArray[np.uint32]
Rows = NDArray[np.int64]


def strong(keys: Keys) -> Keys:
    """Keys whose rows are candidates however many have them, such as contacts."""
    return keys & ~np.uint32(1)


def hint(keys: Keys) -> Keys:
    """Keys whose rows are candidates while few have them, such as titles."""
    return keys & ~np.uint32(2) | np.uint32(1)


def faint_hint(keys: Keys) -> Keys:
    """Hints that tell something only where several are shared, such as parts of a text."""
    return keys | np.uint32(3)


class Postings:
    """Rows by key. For one thread at a time."""

    def __init__(self) -> None:
        """No keys yet."""
        self._keys: NDArray[np.uint32] = np.zeros(0, np.uint32)
        self._rows: NDArray[np.uint32] = np.zeros(0, np.uint32)
        self._fresh: dict[int, list[int]] = {}
        self._fresh_of: dict[int, AbstractSet[int]] = {}
        self._count = 0
        self._is_void = np.zeros(_FEWEST, np.bool_)  # rows whose postings in the arrays are
        self._void_count = 0
        self._loaded_keys, self._loaded_rows = array("I"), array("I")

    def __len__(self) -> int:
        """How many postings there are, void ones too."""
        return len(self._keys) + self._count

    def load(self, row: int, keys: Keys) -> None:
        """A row that was never there has these keys (K,), which are found after `merge`."""
        self._reach(row)
        self._loaded_keys.frombytes(keys.tobytes())
        self._loaded_rows.extend([row] * len(keys))

    def put(self, row: int, keys: AbstractSet[int]) -> None:
        """A row has these keys and no others."""
        self.remove(row)
        if not keys:
            return
        for key in keys:
            self._fresh.setdefault(key, []).append(row)
        self._fresh_of[row] = keys
        self._count += len(keys)
        if self._count > _FRESH:
            self.merge()

    def remove(self, row: int) -> None:
        """A row has no keys any more."""
        self._reach(row)
        self._void_count += not self._is_void[row]
        self._is_void[row] = True
        for key in self._fresh_of.pop(row, ()):
            self._fresh[key].remove(row)
            self._count -= 1
        if self._void_count > _MOST_VOID:
            self.merge()

    def shared(self, keys: Keys) -> tuple[Rows, NDArray[np.float64]]:
        """Rows with some of these keys (K,), once for each key, up to `MOST_ROWS` for one.

        An odd key is a hint, which says nothing where more rows have it.

        Returns:
            Rows (S,), and what sharing the key is worth (S,): a bit where `MOST_ROWS` have it, and
            one more each time that half as many have it.
        """
        begins = np.searchsorted(self._keys, keys, "left")
        counts = np.searchsorted(self._keys, keys, "right") - begins  # (K,)
        enough = MOST_ROWS + self._void_count  # `MOST_ROWS` of so many are not void
        is_hint = keys & 1 > 0
        says_nothing = is_hint & (counts > enough)
        counts[says_nothing] = 0
        counts = np.minimum(counts, enough)
        which = np.repeat(np.arange(len(keys)), counts)  # (S,)
        places = np.arange(len(which)) + (begins - np.cumsum(counts) + counts)[which]
        rows = self._rows[places].astype(np.int64)
        alive = ~self._is_void[rows]
        says_nothing |= is_hint & (np.bincount(which[alive], minlength=len(keys)) > MOST_ROWS)
        alive &= ~says_nothing[which]
        rows, which = rows[alive], which[alive]
        if self._fresh:
            fresh = [
                () if is_void else self._fresh.get(key, ())[:MOST_ROWS]
                for key, is_void in zip(keys.tolist(), says_nothing.tolist(), strict=True)
            ]
            more = np.repeat(np.arange(len(keys)), [len(some) for some in fresh])
            if len(more):
                which = np.concatenate([which, more])
                order = np.argsort(which, kind="stable")
                which = which[order]
                added = np.fromiter((row for some in fresh for row in some), np.int64, len(more))
                rows = np.concatenate([rows, added])[order]
        sizes = np.bincount(which, minlength=len(keys))
        first = np.arange(len(which)) - (np.cumsum(sizes) - sizes)[which] < MOST_ROWS
        rows, which = rows[first], which[first]
        having = np.bincount(which, minlength=len(keys))[which]
        return rows, np.log2(2 * MOST_ROWS / having)

    def counts(self, keys: Keys) -> NDArray[np.int64]:
        """How many postings each of these keys (K,) has, void ones too."""
        begins = np.searchsorted(self._keys, keys, "left")
        counts = np.searchsorted(self._keys, keys, "right") - begins
        if self._fresh:
            counts += np.array([len(self._fresh.get(key, ())) for key in keys.tolist()], np.int64)
        return counts.astype(np.int64)

    def merge(self) -> None:
        """Merge the newest and the loaded postings into the arrays, without void ones."""
        kept = ~self._is_void[self._rows]
        keys = np.fromiter(
            (key for key, rows in self._fresh.items() for _ in rows), np.uint32, self._count
        )
        rows = np.fromiter(
            (r for rows in self._fresh.values() for r in rows), np.uint32, self._count
        )
        loaded = [np.frombuffer(some, np.uint32) for some in (self._loaded_keys, self._loaded_rows)]
        keys, rows = np.concatenate([loaded[0], keys]), np.concatenate([loaded[1], rows])
        del loaded
        self._loaded_keys, self._loaded_rows = array("I"), array("I")
        order = np.argsort(keys, kind="stable")
        keys, rows = keys[order], rows[order]
        # Into what is sorted already: to sort all of it takes many times as long.
        places = np.searchsorted(self._keys[kept], keys, "right")
        self._keys = np.insert(self._keys[kept], places, keys)
        self._rows = np.insert(self._rows[kept], places, rows)
        self._fresh, self._fresh_of, self._count = {}, {}, 0
        self._is_void[:] = False
        self._void_count = 0

    def _reach(self, row: int) -> None:
        if row >= len(self._is_void):
            more = np.zeros(max(row + 1 - len(self._is_void), len(self._is_void) // 4), np.bool_)
            self._is_void = np.concatenate([self._is_void, more])
