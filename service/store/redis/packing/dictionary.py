"""One dictionary, and values packed by it.

A packed value is `MARK`, the dictionary's id (4 bytes) and raw deflate with the dictionary preset
(RFC 1951; zlib's `deflateSetDictionary`). No JSON begins with `MARK`, so that a value tells itself
whether it is packed.
"""

import hashlib
import zlib

MARK = b"\x01"
MOST_BYTES = 32_000
"""Of a dictionary: deflate looks back 32 KiB."""
MOST_PACKED = 32 << 10
"""Larger values stay as they are, so that what was bounded as it is stored is bounded in memory."""
_ID_BYTES = 4
_HEAD = len(MARK) + _ID_BYTES
_LEVEL, _RAW = 6, -15


class Dictionary:
    """Packs and unpacks values.

    Attributes:
        content: what is preset.
        id: 4 bytes, of its SHA-256.
    """

    def __init__(self, content: bytes) -> None:
        """Prepare both directions once: a value takes a copy."""
        self.content = content
        self.id = id_of(content)
        self._packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW, zdict=content)
        self._unpacker = zlib.decompressobj(_RAW, content)

    def pack(self, value: bytes) -> bytes:
        """A value packed, or as it is where that is no shorter."""
        if not _HEAD < len(value) <= MOST_PACKED:
            return value
        packer = self._packer.copy()
        packed = MARK + self.id + packer.compress(value) + packer.flush()
        return packed if len(packed) < len(value) else value

    def unpack(self, packed: bytes) -> bytes:
        """A value that this dictionary packed.

        Raises:
            ValueError: it did not, or the value is damaged.
        """
        unpacker = self._unpacker.copy()
        try:
            value = unpacker.decompress(packed[_HEAD:], MOST_PACKED)
        except zlib.error as error:
            raise ValueError(f"packed value is damaged: {error}") from error
        if not unpacker.eof or unpacker.unused_data:
            raise ValueError("packed value is damaged: it ends elsewhere")
        return value


def id_of(content: bytes) -> bytes:
    """The id of a dictionary with this content."""
    return hashlib.sha256(content).digest()[:_ID_BYTES]


def packed_by(value: bytes | None) -> bytes | None:
    """The id of the dictionary that a value was packed by; None if it was by none."""
    return value[len(MARK) : _HEAD] if value and value[:1] == MARK else None
