"""Arrays and bits by slot."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from service.index.faiss.rows.numeric import slots_of

_Scalar = TypeVar("_Scalar", bound=np.generic)


def grown(array: NDArray[_Scalar], length: int) -> NDArray[_Scalar]:
    """The same rows and zeros behind them, which take no memory before they are written."""
    longer = np.zeros((length, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer


def packed(slots: BitMap, used: int) -> NDArray[np.uint8]:
    """Slots below `used` as bits (ceil(used / 8),): bit i % 8 of byte i // 8 is slot i."""
    mask = np.zeros(used, np.bool_)
    mask[slots_of(slots)] = True
    return np.packbits(mask, bitorder="little")


def clear_bit(bits: NDArray[np.uint8], slot: int) -> None:
    """Take a slot out of such bits."""
    bits[slot >> 3] &= ~np.uint8(1 << (slot & 7))
