"""What one search may see."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class View:
    """What one search may see, as it was at one moment.

    Attributes:
        embeddings: float32 (slots, D); what is not allowed is anything.
        ids: of the slots.
        bits: uint8 (ceil(slots / 8),), the allowed slots; bit i % 8 of byte i // 8 is slot i.
        size: how many those are.
    """

    embeddings: NDArray[np.float32]
    ids: Sequence[str]
    bits: NDArray[np.uint8]
    size: int

    def slots(self) -> NDArray[np.int64]:
        """The allowed slots, ascending (size,)."""
        return np.flatnonzero(np.unpackbits(self.bits, bitorder="little"))
