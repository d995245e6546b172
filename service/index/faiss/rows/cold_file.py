"""Disk-backed columns for rarely read fields: content sketches and facets, by slot.

They are half of what the index knows, and a plain search reads neither. The file has no name; the
system caches it while it has room, and the process needs no memory for it.
"""

import errno
import os
import struct
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_LENGTH = struct.Struct("<I")
"""Of the facets, the first thing in a record; the sketch follows, then the facets."""
_BLOCK = 1 << 20
_FACETS_ROOM = 384
"""Bytes of facets that have room in a record: names, some tags, a few attributes."""


class ColdFile:
    """Sketches and facets. Not safe from several threads.

    Records that are too long for their slot in the file, or that a full disk does not take, stay in
    memory.
    """

    def __init__(self, content_bytes: int, folder: Path | None = None) -> None:
        """An empty file in `folder`, by default where temporary files are.

        Raises:
            OSError: no file can be made there.
        """
        fd, name = tempfile.mkstemp(prefix="index-", dir=folder)
        os.unlink(name)
        weakref.finalize(self, os.close, fd)
        self._fd = fd
        self._facets_at = _LENGTH.size + content_bytes
        self._stride = self._facets_at + _FACETS_ROOM
        self._kept: dict[int, bytes] = {}

    def write(self, slot: int, content: bytes, facets: bytes) -> None:
        """Write a sketch, empty or of full length, and facets (JSON) to a slot."""
        self._kept.pop(slot, None)
        record = _LENGTH.pack(len(facets)) + content.ljust(self._facets_at - _LENGTH.size, b"\0")
        record += facets
        if len(record) > self._stride or not self._put(slot, record):
            self._kept[slot] = record

    def kept(self) -> dict[int, bytes]:
        """Records that are in memory, by slot."""
        return dict(self._kept)

    def blocks(self, wanted: NDArray[np.bool_]) -> Iterator[bytes]:
        """The file, in blocks, with zeros for slots that a mask (slots,) does not want.

        Safe beside writes to other slots.
        """
        at_once = max(_BLOCK // self._stride, 1)
        for start in range(0, len(wanted), at_once):
            mask = wanted[start : start + at_once]
            size = len(mask) * self._stride
            block = os.pread(self._fd, size, start * self._stride).ljust(size, b"\0")
            rows = np.frombuffer(block, np.uint8).reshape(len(mask), self._stride)
            yield (rows * mask[:, None]).tobytes()

    def load(self, blocks: Iterable[bytes], kept: Mapping[int, bytes]) -> None:
        """Fill the file, which is empty, with what `blocks` and `kept` gave.

        Raises:
            OSError: there is no room for it.
        """
        at = 0
        for block in blocks:
            if os.pwrite(self._fd, block, at) != len(block):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            at += len(block)
        self._kept = dict(kept)

    @property
    def stride(self) -> int:
        """Bytes of each slot in the file."""
        return self._stride

    def _put(self, slot: int, record: bytes) -> bool:
        try:
            return os.pwrite(self._fd, record, slot * self._stride) == len(record)
        except OSError:
            return False

    def read(self, slot: int) -> tuple[bytes, bytes]:
        """Sketch and facets of a slot that was written."""
        record = self._kept.get(slot) or os.pread(self._fd, self._stride, slot * self._stride)
        (length,) = _LENGTH.unpack_from(record)
        at = self._facets_at
        return record[_LENGTH.size : at], record[at : at + length]
