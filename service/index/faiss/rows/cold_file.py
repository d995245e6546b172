"""What is seldom read of a streamer, by slot, in a file: content sketches and facets.

They are half of what the index knows, and a question for the nearest reads neither. The file has no
name; the system keeps it in memory as long as there is room, and the process needs none for it.
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


class Cold:
    """Sketches and facets; not safe to use from several threads.

    What is too long for its place in the file, or what a full disk does not take, stays in memory.
    """

    def __init__(self, content_bytes: int, folder: Path | None = None) -> None:
        """An empty file in `folder`, or where temporary files are.

        Raises:
            OSError: none can be made there.
        """
        fd, name = tempfile.mkstemp(prefix="index-", dir=folder)
        os.unlink(name)
        weakref.finalize(self, os.close, fd)
        self._fd = fd
        self._facets_at = _LENGTH.size + content_bytes
        self._stride = self._facets_at + _FACETS_ROOM
        self._kept: dict[int, bytes] = {}

    def write(self, slot: int, content: bytes, facets: bytes) -> None:
        """Put a sketch, empty or of the one length, and facets (JSON) in a slot."""
        self._kept.pop(slot, None)
        record = _LENGTH.pack(len(facets)) + content.ljust(self._facets_at - _LENGTH.size, b"\0")
        record += facets
        if len(record) > self._stride or not self._put(slot, record):
            self._kept[slot] = record

    def kept(self) -> dict[int, bytes]:
        """What is in memory, by slot; `load` takes it."""
        return dict(self._kept)

    def blocks(self, wanted: NDArray[np.bool_]) -> Iterator[bytes]:
        """The file of the first slots, by a mask (slots,) of those that are wanted; others are 0.

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
        """Take over what `blocks` and `kept` gave.

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
