"""Chunks: some rows of a generation as they are stored, compressed and checked when read."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

STREAMERS, USERS = "s", "u"
IDS, VECTORS, INTERACTIONS, ATTRIBUTES = "ids", "vectors", "interactions", "attributes"
NEIGHBOURS = "neighbours"
CHUNK_BYTES = 2 << 20
"""Of the vectors of a chunk: the store moves one in well under its timeout."""
_LEVEL = 1
_SAMPLE_BYTES = 16 << 10
_WORTHWHILE = 0.9
"""Planes that compress to less than this share are compressed, others kept as they are."""
_RAW = -zlib.MAX_WBITS
_STREAM_HEAD = b"\x78\x01"
_HEAD = struct.Struct("<II")
_MOST_BYTES = 256 << 20


class DamagedChunk(Exception):
    """A chunk is not as it was written; the message says which and how."""


def name_of(kind: str, part: int, what: str) -> str:
    """The name of a chunk: of streamers or users, which part of them, and what of it."""
    return f"{kind}{part}.{what}"


def rows_per_chunk(dim: int) -> int:
    """How many vectors of a width make a chunk."""
    return max(1, CHUNK_BYTES // (4 * dim))


def packed_ids(ids: Sequence[str]) -> bytes:
    """Ids as one chunk; none has a line break."""
    return zlib.compress("\n".join(ids).encode(), _LEVEL)


def unpacked_ids(chunk: bytes) -> list[str]:
    """The ids of a chunk.

    Raises:
        DamagedChunk: it is not as it was written.
    """
    try:
        text = unpacked(chunk).decode()
    except UnicodeDecodeError as error:
        raise DamagedChunk("its ids are no text") from error
    return text.split("\n") if text else []


def packed_floats(values: NDArray[np.float32]) -> bytes:
    """Floats (n, d) as one chunk.

    Bytes of one significance lie together: exponents are alike, and compress; mantissas of trained
    vectors do not, and trying costs most of the time.
    """
    n, d = values.shape
    planes = values.astype("<f4", copy=False).view(np.uint8).reshape(n * d, 4).T  # (4, n d)
    planes = np.ascontiguousarray(planes)
    parts = [_HEAD.pack(n, d), _STREAM_HEAD]
    for i, plane in enumerate(planes):
        packing = zlib.compressobj(_level_of(plane), zlib.DEFLATED, _RAW)
        parts += [packing.compress(plane.data)]
        # A flush ends at a whole byte, so that the planes make one stream (RFC 1950).
        parts += [packing.flush(zlib.Z_FINISH if i == len(planes) - 1 else zlib.Z_FULL_FLUSH)]
    return b"".join([*parts, zlib.adler32(planes.data).to_bytes(4, "big")])


def _level_of(plane: NDArray[np.uint8]) -> int:
    """0, which compresses nothing, where a part from the middle hardly compresses."""
    start = max(0, (len(plane) - _SAMPLE_BYTES) // 2)
    sample = plane[start : start + _SAMPLE_BYTES]
    return _LEVEL if len(zlib.compress(sample.data, _LEVEL)) < _WORTHWHILE * len(sample) else 0


def unpack_floats(chunk: bytes, into: NDArray[np.float32]) -> None:
    """Read a chunk into memory of just its shape (n, d).

    Raises:
        DamagedChunk: it is not as it was written, or of another shape.
    """
    if len(chunk) < _HEAD.size or _HEAD.unpack_from(chunk) != into.shape:
        raise DamagedChunk(f"its vectors are not {into.shape[0]} of width {into.shape[1]}")
    planes = unpacked(memoryview(chunk)[_HEAD.size :])
    if len(planes) != into.nbytes:
        raise DamagedChunk("its vectors end in the middle")
    by_value = np.frombuffer(planes, np.uint8).reshape(4, into.size).T  # (n d, 4)
    into.view(np.uint8).reshape(into.size, 4)[:] = by_value


def unpacked_floats(chunk: bytes) -> NDArray[np.float32]:
    """The floats (n, d) of a chunk, of whatever shape it says.

    Raises:
        DamagedChunk: it is not as it was written.
    """
    n, d = _HEAD.unpack_from(chunk) if len(chunk) >= _HEAD.size else (0, 0)
    if 4 * n * d > _MOST_BYTES:
        raise DamagedChunk(f"it claims {n} vectors of width {d}")
    found = np.empty((n, d), np.float32)
    unpack_floats(chunk, found)
    return found


def unpacked(data: bytes | memoryview) -> bytes:
    """What was compressed as one chunk.

    Raises:
        DamagedChunk: it is not as it was written.
    """
    unpacking = zlib.decompressobj()
    try:
        found = unpacking.decompress(data, _MOST_BYTES)
    except zlib.error as error:
        raise DamagedChunk(f"it can't be unpacked: {error}") from error
    if not unpacking.eof:
        raise DamagedChunk("it ends in the middle")
    return found
