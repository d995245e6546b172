"""What towers made of single pieces: packed for a stored record, and the latest of it in memory.

A vector is known by the version of its tower and the key of what the tower read, so it stays right
whatever becomes of the streamer or of the encoder behind the towers.
"""

import struct
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float16]
Key = tuple[bytes, bytes]
"""The tower's version, 32 bytes, and `towers.payload_key`, 16 bytes."""

_FORMAT = b"\1"
_HEAD = struct.Struct("<32sHH")
"""Of the part of one tower: its version, how many vectors, how many numbers in each."""
_KEY_BYTES = 16
_ENTRY_BYTES = 400
"""What a vector in memory takes besides its numbers, about."""


def pack(vectors: Mapping[Key, Vector]) -> bytes:
    """All vectors as bytes, little-endian float16; nothing for none.

    For each tower a head, the keys, and the numbers in the order of the keys.
    """
    by_tower: dict[bytes, list[tuple[bytes, Vector]]] = {}
    for (version, key), vector in vectors.items():
        by_tower.setdefault(version, []).append((key, vector))
    parts = [_FORMAT] if by_tower else []
    for version, found in by_tower.items():
        parts.append(_HEAD.pack(version, len(found), len(found[0][1])))
        parts += [key for key, _ in found]
        parts += [vector.astype("<f2").tobytes() for _, vector in found]
    return b"".join(parts)


def unpack(packed: bytes) -> dict[Key, Vector]:
    """The vectors that `pack` made bytes of; none of what it can't have made: they are made anew.

    The vectors are views, (width,) each: they keep `packed` in memory.
    """
    vectors: dict[Key, Vector] = {}
    if not packed.startswith(_FORMAT):
        return {}
    at = len(_FORMAT)
    while at < len(packed):
        if at + _HEAD.size > len(packed):
            return {}
        version, count, width = _HEAD.unpack_from(packed, at)
        keys = at + _HEAD.size
        numbers = keys + count * _KEY_BYTES
        at = numbers + 2 * count * width
        if at > len(packed):
            return {}
        rows = np.frombuffer(packed, "<f2", count * width, numbers).reshape(count, width)
        for i in range(count):
            start = keys + i * _KEY_BYTES
            vectors[version, packed[start : start + _KEY_BYTES]] = rows[i]
    return vectors


class RecentVectors:
    """The vectors used last, up to a number of bytes. For one event loop."""

    def __init__(self, max_bytes: int) -> None:
        """With 0, none is kept."""
        self._max_bytes = max_bytes
        self._bytes = 0
        self._vectors: OrderedDict[Key, Vector] = OrderedDict()

    def __len__(self) -> int:
        return len(self._vectors)

    def get(self, key: Key) -> Vector | None:
        """The vector, which now is the latest; None if it is not known."""
        vector = self._vectors.get(key)
        if vector is not None:
            self._vectors.move_to_end(key)
        return vector

    def put(self, key: Key, vector: Vector) -> None:
        """Keep a copy of a vector as the latest; the oldest ones make room."""
        if key in self._vectors:
            self._vectors.move_to_end(key)
            return
        self._vectors[key] = vector.copy()  # a view would keep all that it was cut from
        self._bytes += vector.nbytes + _ENTRY_BYTES
        while self._bytes > self._max_bytes:
            _, oldest = self._vectors.popitem(last=False)
            self._bytes -= oldest.nbytes + _ENTRY_BYTES
