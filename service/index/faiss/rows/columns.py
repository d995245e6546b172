"""Numbers of rows, by slot, in address space that is reserved for many more of them."""

import contextlib
import math
import mmap
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from service.index.faiss.rows.numeric import slots_of

_RESERVED_SLOTS = 1 << 24
"""What has no row yet takes addresses and no memory, so nothing is copied as rows come."""
_FEWEST_SLOTS = 1024
_SMALL_BYTES = 4 << 20
"""A small index fits in so many bytes, and takes no huge pages."""
_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)  # Python 3.13 is the first to name it


@dataclass(frozen=True, eq=False)
class Columns:
    """Arrays by slot, as long as each other; slots without a row are zero or what they were.

    Attributes:
        embeddings: float32 (slots, D).
        versions: int64 (slots,).
        modalities: int8 (slots,), how many a row shows.
        coverages: float32 (slots,), share of what a row shows that the model knows.
        bits: uint8 (slots / 8,), bit i % 8 of byte i // 8 for each live slot i.
    """

    embeddings: NDArray[np.float32]
    versions: NDArray[np.int64]
    modalities: NDArray[np.int8]
    coverages: NDArray[np.float32]
    bits: NDArray[np.uint8]

    @classmethod
    def reserved(cls, dim: int, at_least: int = _FEWEST_SLOTS) -> Self:
        """Columns of zeros for embeddings (dim,) and many slots.

        Fewer where addresses are limited, though never fewer than `at_least`.

        Raises:
            MemoryError: there is no room for so few.
        """
        slots = max(_RESERVED_SLOTS, _rounded(at_least))
        while True:
            try:
                return cls(
                    _zeros((slots, dim), np.float32),
                    _zeros((slots,), np.int64),
                    _zeros((slots,), np.int8),
                    _zeros((slots,), np.float32),
                    _zeros((slots // 8,), np.uint8),
                )
            except OSError as error:
                if slots == _rounded(at_least):
                    raise MemoryError(f"no room for {at_least} rows of width {dim}") from error
                slots = max(slots // 2, _rounded(at_least))

    @property
    def slots(self) -> int:
        """How many slots there are."""
        return len(self.versions)

    def grown(self) -> Self:
        """Copies with half as many slots again, for when all of them are used."""
        more = self.reserved(self.embeddings.shape[1], self.slots + self.slots // 2)
        for field in fields(self):
            array = getattr(self, field.name)
            getattr(more, field.name)[: len(array)] = array
        return more


def _rounded(slots: int) -> int:
    return -(-slots // 8) * 8


def _zeros(shape: tuple[int, ...], kind: type[np.generic]) -> NDArray[Any]:
    """An array of zeros that takes no memory before it is written.

    Raises:
        OSError: addresses or memory are limited.
    """
    size = math.prod(shape) * np.dtype(kind).itemsize
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE
    memory = mmap.mmap(-1, size, flags=flags)
    if size > _SMALL_BYTES:  # as NumPy does: scans are faster by it
        with contextlib.suppress(OSError):  # not every kernel has them
            memory.madvise(mmap.MADV_HUGEPAGE, _SMALL_BYTES)
    return np.frombuffer(memory, kind).reshape(shape)


def packed(slots: BitMap, used: int) -> NDArray[np.uint8]:
    """Slots below `used` as bits (ceil(used / 8),): bit i % 8 of byte i // 8 is slot i."""
    mask = np.zeros(used, np.bool_)
    mask[slots_of(slots)] = True
    return np.packbits(mask, bitorder="little")


def clear_bit(bits: NDArray[np.uint8], slot: int) -> None:
    """Take a slot out of such bits."""
    bits[slot >> 3] &= ~np.uint8(1 << (slot & 7))
