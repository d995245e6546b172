"""Rows as one search may see them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from service.index.faiss.rows.columns import packed
from service.index.faiss.rows.numeric import slots_of
from service.index.filters import ALL_KNOWN, Unknown


@dataclass(frozen=True, eq=False)
class View:
    """Rows that one search may see, as they were at one moment.

    Attributes:
        embeddings: float32 (slots, D); slots that are not allowed hold anything.
        ids: of the slots.
        allowed: slots that the search may see; nobody changes them.
        known_bits: these as `bits` has them, where that is known already.
        unknown: what of the search's filter no row has.
    """

    embeddings: NDArray[np.float32]
    ids: Sequence[str]
    allowed: BitMap
    known_bits: NDArray[np.uint8] | None = None
    unknown: Unknown = ALL_KNOWN

    @property
    def size(self) -> int:
        """How many slots are allowed."""
        return len(self.allowed)

    def slots(self) -> NDArray[np.int64]:
        """The allowed slots, ascending (size,)."""
        return slots_of(self.allowed)

    def bits(self) -> NDArray[np.uint8]:
        """The allowed slots (ceil(slots / 8),); bit i % 8 of byte i // 8 is slot i."""
        if self.known_bits is not None:
            return self.known_bits
        return packed(self.allowed, len(self.embeddings))


class Candidates(NamedTuple):
    """Rows that one search by a segment has to score.

    Attributes:
        slots: int64 (S,), those that the segment found and that it covers, and all fresh ones.
        found: how many of them the segment found.
        covered: how many it could have found.
        size: how many are covered or fresh.
    """

    slots: NDArray[np.int64]
    found: int
    covered: int
    size: int


class Near(NamedTuple):
    """Candidates of several searches, as they were at one moment.

    Attributes:
        embeddings: float32 (slots, D).
        ids: of the slots.
        each: the candidates of each search.
    """

    embeddings: NDArray[np.float32]
    ids: Sequence[str]
    each: Sequence[Candidates]
