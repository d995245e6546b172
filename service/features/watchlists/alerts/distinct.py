"""Distinct matches of a watchlist, counted in bounded memory.

Only the least hashes are kept ("k minimum values", Bar-Yossef et al. 2002): a match that is found
again, by a sweep and by the log, adds nothing. Below `MOST` matches the count is exact; from there
on it is estimated from the largest hash that is kept, with a standard error of 3%.
"""

import hashlib
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Self

from pydantic import TypeAdapter

MOST = 1000
_BYTES = 6  # each is exact as a number in JSON
_RANGE = 2 ** (8 * _BYTES)


@dataclass(frozen=True)
class Distinct:
    """What was counted.

    Attributes:
        version: of the list.
        least: the least hashes, in order; up to `MOST`.
    """

    version: int
    least: list[int] = field(default_factory=list[int])

    @property
    def count(self) -> int:
        """How many there were."""
        if len(self.least) < MOST:
            return len(self.least)
        return round((MOST - 1) * _RANGE / self.least[-1])

    def plus(self, name: str) -> Self:
        """With one more; the same object where that changes nothing."""
        found = _hash(name)
        place = bisect_left(self.least, found)
        if place == MOST or self.least[place : place + 1] == [found]:
            return self
        least = [*self.least[:place], found, *self.least[place:]][:MOST]
        return type(self)(self.version, least)

    def minus(self, name: str) -> Self:
        """Without one that was counted, as long as the count is exact; else the same object."""
        found = _hash(name)
        if len(self.least) == MOST or found not in self.least:
            return self
        return type(self)(self.version, [each for each in self.least if each != found])

    def dump(self) -> bytes:
        """Write it as JSON."""
        return DISTINCT.dump_json(self)


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:_BYTES])


DISTINCT = TypeAdapter(Distinct)
