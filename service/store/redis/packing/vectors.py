"""Vectors whose numbers have few bits, packed without loss.

The encoder makes embeddings and sketches whose numbers are whole multiples of a power of two of
their own. A packed vector is `MARK`, the id of its kind (4 bytes), the exponent of that power (a
signed byte) and the whole numbers. Any other vector, as of an earlier release, stays as it is.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from service.store.redis.packing.dictionary import MARK

_EXPONENT = struct.Struct("b")


@dataclass(frozen=True)
class VectorKind:
    """Vectors of one field of a record.

    Attributes:
        id: 4 bytes, of no dictionary.
        wide: type of the numbers of a record.
        narrow: type of the whole numbers.
        bits: of a whole number, its sign aside.
    """

    id: bytes
    wide: str
    narrow: str
    bits: int

    def pack(self, value: bytes) -> bytes:
        """A vector packed, or as it is where its numbers have more bits."""
        if not value or len(value) % np.dtype(self.wide).itemsize:
            return value
        numbers = np.frombuffer(value, self.wide).astype(np.float64)
        largest = float(np.abs(numbers).max())
        if not 0 < largest < np.inf:
            return value
        exponent = self.bits - int(np.frexp(largest)[1])
        if not -128 <= exponent <= 127:
            return value
        whole = np.ldexp(numbers, exponent).astype(self.narrow)
        packed = MARK + self.id + _EXPONENT.pack(exponent) + whole.tobytes()
        return packed if self.unpack(packed) == value else value

    def unpack(self, packed: bytes) -> bytes:
        """The vector that was packed.

        Raises:
            ValueError: the value is damaged.
        """
        head = len(MARK) + len(self.id)
        if len(packed) <= head or (len(packed) - head - 1) % np.dtype(self.narrow).itemsize:
            raise ValueError("packed vector is damaged: it ends elsewhere")
        (exponent,) = _EXPONENT.unpack_from(packed, head)
        whole = np.frombuffer(packed, self.narrow, offset=head + 1)
        return np.ldexp(whole.astype(np.float64), -exponent).astype(self.wide).tobytes()


_WIDE = VectorKind(b"vec2", "<f4", "<i2", 15)
_NARROW = VectorKind(b"vec1", "<f2", "<i1", 7)
VECTORS: Mapping[str, VectorKind] = {
    "embedding": _WIDE,
    "content": _NARROW,
    "id_embedding": _WIDE,
}
"""Fields of a record that are vectors."""
_KINDS: Mapping[bytes, VectorKind] = {MARK + kind.id: kind for kind in VECTORS.values()}


def is_packed(value: bytes) -> bool:
    """Whether a vector is packed: no other begins like this, but by chance of 1 in 2^40."""
    return value[: len(MARK) + 4] in _KINDS


def unpacked(value: bytes | None) -> bytes | None:
    """A vector as it was before it was packed; one that can't be unpacked as it is."""
    if not value or not is_packed(value):
        return value
    try:
        return _KINDS[value[: len(MARK) + 4]].unpack(value)
    except ValueError:
        return value  # its width tells
