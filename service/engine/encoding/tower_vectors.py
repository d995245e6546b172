"""What towers made of single pieces: packed for a stored record, and the latest of it in memory.

A vector is known by the version of its tower and the key of what the tower read, so it stays right
whatever becomes of the streamer or of the encoder behind the towers.
"""

import hashlib
import struct
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from model_export.contract.media import FINGERPRINT_BANDS, FINGERPRINT_MOMENTS, THUMBNAIL_SIDE

Vector = NDArray[np.float16]
Key = tuple[bytes, bytes]
"""The tower's version, 32 bytes, and `towers.payload_key`, 16 bytes."""
THUMBNAIL = hashlib.sha256(b"outline 1").digest()
"""In place of a tower's version: what is kept is the thumbnail of a picture, see `as_vector`."""
FINGERPRINT = hashlib.sha256(b"print 1").digest()
"""Key, in place of a tower's version, under which the fingerprint of a sound is kept."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What towers saw in a profile.

    Attributes:
        vectors: what they made of it, (width,) each.
        addresses: what was found at addresses: SHA-256 of the URL -> SHA-256 of the bytes.
    """

    vectors: Mapping[Key, Vector] = field(default_factory=dict[Key, Vector])
    addresses: Mapping[bytes, bytes] = field(default_factory=dict[bytes, bytes])

    def over(self, older: "Seen") -> "Seen":
        """Both; what is known here of a piece or an address replaces what `older` knows of it."""
        return Seen({**older.vectors, **self.vectors}, {**older.addresses, **self.addresses})


_FORMAT = b"\1"
_ADDRESSES = struct.Struct("<H")
"""How many addresses there are; 64 bytes each follow."""
_TOWER = struct.Struct("<32sHH")
"""The version of a tower, how many vectors, how many numbers in each; keys and numbers follow."""
_DIGEST_BYTES, _KEY_BYTES = 32, 16
_ENTRY_BYTES = 400
"""What a vector in memory takes besides its numbers, about."""


def pack(seen: Seen) -> bytes:
    """Pack vectors into little-endian bytes, numbers as float16; empty for no vectors."""
    if not seen.vectors and not seen.addresses:
        return b""
    by_tower: dict[bytes, list[tuple[bytes, Vector]]] = {}
    for (version, key), vector in seen.vectors.items():
        by_tower.setdefault(version, []).append((key, vector))
    parts = [_FORMAT, _ADDRESSES.pack(len(seen.addresses))]
    parts += [digest for pair in seen.addresses.items() for digest in pair]
    for version, found in by_tower.items():
        parts.append(_TOWER.pack(version, len(found), len(found[0][1])))
        parts += [key for key, _ in found]
        parts += [vector.astype("<f2").tobytes() for _, vector in found]
    return b"".join(parts)


def unpack(packed: bytes) -> Seen:
    """What `pack` made bytes of; nothing of what it can't have made: that is made anew.

    The vectors are views: they keep `packed` in memory.
    """
    try:
        return _unpacked(packed) if packed.startswith(_FORMAT) else Seen()
    except (struct.error, ValueError):  # too short
        return Seen()


def _unpacked(packed: bytes) -> Seen:
    at = len(_FORMAT)
    (count,) = _ADDRESSES.unpack_from(packed, at)
    at += _ADDRESSES.size
    urls = _cut(packed, at, 2 * count, _DIGEST_BYTES)
    at += 2 * count * _DIGEST_BYTES
    vectors: dict[Key, Vector] = {}
    while at < len(packed):
        version, count, width = _TOWER.unpack_from(packed, at)
        at += _TOWER.size
        keys = _cut(packed, at, count, _KEY_BYTES)
        at += count * _KEY_BYTES
        rows = np.frombuffer(packed, "<f2", count * width, at).reshape(count, width)
        at += rows.nbytes
        vectors.update(((version, key), row) for key, row in zip(keys, rows, strict=True))
    return Seen(vectors, dict(zip(urls[::2], urls[1::2], strict=True)))


def _cut(packed: bytes, at: int, count: int, size: int) -> list[bytes]:
    if at + count * size > len(packed):
        raise ValueError("too short")
    return [packed[start : start + size] for start in range(at, at + count * size, size)]


def as_vector(thumbnail: NDArray[np.uint8]) -> Vector:
    """Pack the bytes of a thumbnail or a fingerprint two by two, as float16 bit patterns."""
    return np.ascontiguousarray(thumbnail).reshape(-1).view(np.float16)


def as_thumbnail(vector: Vector) -> NDArray[np.uint8]:
    """What `as_vector` made a vector of."""
    levels = np.ascontiguousarray(vector).view(np.uint8)
    return levels.reshape(THUMBNAIL_SIDE, THUMBNAIL_SIDE)


def as_fingerprint(vector: Vector) -> NDArray[np.uint8]:
    """Unpack the fingerprint of a sound: uint8, (moments, bands)."""
    levels = np.ascontiguousarray(vector).view(np.uint8)
    return levels.reshape(FINGERPRINT_MOMENTS, FINGERPRINT_BANDS)


class TowerCache:
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
