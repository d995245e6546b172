"""Sides that memory has no room for: read from a file instead of made anew.

To make a side takes a read of the store and a millisecond of a core, to read one some 20 us.
"""

import errno
import logging
import math
import os
import struct
import tempfile
import time
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from model_export.contract.evidence import Side
from service.engine.candidates.numbers_by_name import NumbersByName
from service.engine.evidence.packed_sides import Packed, unpack

MAX_BYTES = 1 << 30
"""Some 500,000 streamers; their places take 10 MB of memory."""
LEAST_FREE_BYTES = 256 << 20
"""Of the disk, which the store writes to as well: with less, files are given back."""
_LOOK_EVERY_BYTES = 4 << 20
_OFF_S = 600.0
"""So long after a file could not be written none is tried again."""
_HEAD = struct.Struct("<qII")
"""Before a side: the version of its streamer, how many bytes its name has and how many numbers the
side. The name follows, and zeros up to a multiple of four bytes."""
_READ_BYTES = 8 << 10
"""That are read together: of nearly every side, all."""
_NAME_BYTES = 240
"""That are read together with the head: of nearly every name, all."""
_log = logging.getLogger(__name__)


class Spilled(NamedTuple):
    """A side, and the version of the streamer that it was made of."""

    version: int
    side: Side


class SpilledSides:
    """Sides by streamer and version. One thread puts them, any may read.

    They are in two files at most: when one is full, the other, with what was put longest ago,
    makes room. Files have no name and end with the process. Where one can't be written, or the disk
    is nearly full, nothing is kept for ten minutes, and sides are made anew.
    """

    def __init__(
        self,
        folder: Path | None = None,
        max_bytes: int = MAX_BYTES,
        least_free_bytes: int = LEAST_FREE_BYTES,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """None yet; files will be in `folder`, else where temporary files are."""
        self._folder = folder
        self._most_bytes = max_bytes // 2
        self._least_free_bytes = least_free_bytes
        self._files: tuple[_File, ...] = ()  # the newest first
        self._now = now
        self._off_until = -math.inf

    def __contains__(self, streamer_id: str) -> bool:
        """Whether some version is there."""
        return any(streamer_id in file for file in self._files)

    def put(self, streamer_id: str, version: int, packed: Packed) -> None:
        """Write what `pack` made of a side."""
        if self._now() < self._off_until:
            return
        try:
            if not self._files or self._files[0].end + packed.nbytes > self._most_bytes:
                self._files = (_File(self._folder, self._least_free_bytes), *self._files[:1])
            self._files[0].put(streamer_id, version, packed)
        except OSError as error:
            self._files, self._off_until = (), self._now() + _OFF_S
            _log.warning("what duplicates are compared by is made anew for a while: %s", error)

    def has(self, streamer_id: str, version: int) -> bool:
        """Whether the side of this version, or of a newer one, is there."""
        return any(file.version(streamer_id) >= version for file in self._files)

    def get(self, streamer_id: str, version: int) -> Spilled | None:
        """The side of this version, or of a newer one; None if neither is there."""
        for file in self._files:
            if (found := file.get(streamer_id, version)) is not None:
                return found
        return None


class _Head(NamedTuple):
    """What is known of a side in a file.

    Attributes:
        version: of the streamer.
        name: of the streamer.
    """

    version: int
    name: str


class _File:
    """Closes itself when nobody reads it any more.

    Attributes:
        end: of what was written, in bytes.
    """

    def __init__(self, folder: Path | None, least_free_bytes: int) -> None:
        if folder is not None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            self._file = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._file)
        self._least_free_bytes = least_free_bytes
        self._look_at = 0
        # Of the side that was put last, in numbers of four bytes. No method of its own is kept
        # there: a file that refers to itself would not be closed at once.
        self._places = NumbersByName(partial(_name_at, self._file))
        self.end = 0

    def __contains__(self, streamer_id: str) -> bool:
        """Whether some version is there."""
        return self._places.get(streamer_id) is not None

    def put(self, streamer_id: str, version: int, packed: Packed) -> None:
        if self.end >= self._look_at:
            self._look_at = self.end + _LOOK_EVERY_BYTES
            disk = os.fstatvfs(self._file)
            if disk.f_bavail * disk.f_frsize < self._least_free_bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        name = streamer_id.encode()
        head = _HEAD.pack(version, len(name), len(packed)) + name + bytes(-len(name) % 4)
        written = head + packed.tobytes()
        if os.pwrite(self._file, written, self.end) != len(written):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._places.put(streamer_id, self.end // 4)
        self.end += len(written)

    def version(self, streamer_id: str) -> int:
        """Of the side that was put last; -1 without one."""
        place = self._places.get(streamer_id)
        return -1 if place is None else _head(self._file, place).version

    def get(self, streamer_id: str, version: int) -> Spilled | None:
        name = streamer_id.encode()
        for place in self._places.likely(streamer_id):
            read = os.pread(self._file, _READ_BYTES, 4 * place)
            known, length, count = _HEAD.unpack_from(read)
            begin = _HEAD.size + length + -length % 4
            end = begin + 4 * count
            if len(read) < end:
                read = os.pread(self._file, end, 4 * place)
            if read[_HEAD.size : _HEAD.size + length] == name:
                if known < version:
                    return None
                return Spilled(known, unpack(np.frombuffer(read[begin:end], np.uint32)))
        return None


def _name_at(file: int, place: int) -> str:
    return _head(file, place).name


def _head(file: int, place: int) -> _Head:
    begin = 4 * place
    read = os.pread(file, _HEAD.size + _NAME_BYTES, begin)
    version, length, _ = _HEAD.unpack_from(read)
    name = read[_HEAD.size : _HEAD.size + length]
    if length > _NAME_BYTES:
        name = os.pread(file, length, begin + _HEAD.size)
    return _Head(version, name.decode())
