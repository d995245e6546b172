"""What one search may see."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from service.index.faiss.rows.columns import packed
from service.index.faiss.rows.numeric import slots_of


@dataclass(frozen=True, eq=False)
class View:
    """What one search may see, as it was at one moment.

    Attributes:
        embeddings: float32 (slots, D); what is not allowed is anything.
        ids: of the slots.
        allowed: the slots that it may see; nobody changes it.
        known_bits: these as `bits` has them, where that is known already.
    """

    embeddings: NDArray[np.float32]
    ids: Sequence[str]
    allowed: BitMap
    known_bits: NDArray[np.uint8] | None = None

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
    """What one search by a base has to score.

    Attributes:
        slots: int64 (S,), those of the base's that are still what they were, and all fresh ones.
        found: how many of them the base gave.
        covered: how many it could have given.
        size: of covered and fresh ones together.
    """

    slots: NDArray[np.int64]
    found: int
    covered: int
    size: int


class Near(NamedTuple):
    """The same of several searches, as it was at one moment.

    Attributes:
        embeddings: float32 (slots, D).
        ids: of the slots.
        each: the candidates of each search.
    """

    embeddings: NDArray[np.float32]
    ids: Sequence[str]
    each: Sequence[Candidates]
