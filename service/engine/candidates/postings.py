"""An inverted index of exact keys, in eight bytes a key.

Keys are hashes of 32 bits: two different ones may be taken for the same, which makes a needless
candidate and misses none. Most of the postings are two sorted arrays; the newest are in a dict,
until there are enough of them to be merged. What a row had before is skipped: a key counts only
where the row still has it.
"""

from array import array
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_ROWS = 64
"""Rows of a key that are given: whoever shares it has an edge with these, so all are connected."""
_FRESH = 8192


def strong(key: int) -> int:
    """A key whose rows are candidates however many have it, such as a contact."""
    return key & ~1


def hint(key: int) -> int:
    """A key whose rows are candidates as long as few have it, such as a part of a text."""
    return key | 1


class Postings:
    """Rows by key. For one thread at a time."""

    def __init__(self) -> None:
        """No keys yet."""
        self._keys: NDArray[np.uint32] = np.zeros(0, np.uint32)
        self._rows: NDArray[np.uint32] = np.zeros(0, np.uint32)
        self._fresh: dict[int, list[int]] = {}
        self._fresh_of: dict[int, AbstractSet[int]] = {}
        self._count = 0
        self._dead: set[int] = set()  # rows whose postings in the arrays are void
        self._loaded_keys, self._loaded_rows = array("I"), array("I")

    def __len__(self) -> int:
        """How many postings there are, void ones too."""
        return len(self._keys) + self._count

    def load(self, row: int, keys: AbstractSet[int]) -> None:
        """A row that was never there has these keys, which are found after the next `merge`."""
        self._loaded_keys.extend(keys)
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
        self._dead.add(row)
        for key in self._fresh_of.pop(row, ()):
            self._fresh[key].remove(row)
            self._count -= 1

    def rows(self, keys: Iterable[int]) -> Iterator[int]:
        """Rows with any of these keys, up to `MOST_ROWS` of each; some come more than once.

        An odd key is a hint, which says nothing where more rows have it.
        """
        for key in keys:
            wanted = np.uint32(key)  # of the arrays' type, or they would be converted each time
            start = int(np.searchsorted(self._keys, wanted, "left"))
            end = int(np.searchsorted(self._keys, wanted, "right"))
            if key & 1 and end - start > MOST_ROWS:
                continue
            left = MOST_ROWS
            for row in self._rows[start:end].tolist():
                if row not in self._dead:
                    yield row
                    left -= 1
                    if not left:
                        break
            yield from self._fresh.get(key, ())[:left]

    def keys_by_row(self) -> "KeysByRow":
        """The keys of each row, as they are now; takes eight bytes a key while it lives."""
        self.merge()
        order = np.argsort(self._rows, kind="stable")
        return KeysByRow(self._rows[order], self._keys[order])

    def merge(self) -> None:
        """Merge the newest and the loaded postings into the arrays, without void ones."""
        dead = np.fromiter(self._dead, np.uint32, len(self._dead))
        kept = ~np.isin(self._rows, dead)
        keys = np.fromiter(
            (key for key, rows in self._fresh.items() for _ in rows), np.uint32, self._count
        )
        rows = np.fromiter(
            (r for rows in self._fresh.values() for r in rows), np.uint32, self._count
        )
        loaded = [np.frombuffer(some, np.uint32) for some in (self._loaded_keys, self._loaded_rows)]
        keys = np.concatenate([self._keys[kept], loaded[0], keys])
        rows = np.concatenate([self._rows[kept], loaded[1], rows])
        del loaded
        self._loaded_keys, self._loaded_rows = array("I"), array("I")
        order = np.lexsort((rows, keys))
        self._keys, self._rows = keys[order], rows[order]
        self._fresh, self._fresh_of, self._count = {}, {}, 0
        self._dead = set()


@dataclass(frozen=True, eq=False)
class KeysByRow:
    """Postings in the order of their rows.

    Attributes:
        rows: uint32 (P,), ascending.
        keys: uint32 (P,).
    """

    rows: NDArray[np.uint32]
    keys: NDArray[np.uint32]

    def of(self, row: int) -> list[int]:
        """The keys of a row."""
        wanted = np.uint32(row)
        start = int(np.searchsorted(self.rows, wanted, "left"))
        keys: list[int] = self.keys[
            start : int(np.searchsorted(self.rows, wanted, "right"))
        ].tolist()
        return keys
