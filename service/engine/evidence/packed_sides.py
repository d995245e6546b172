"""Sides of many streamers in a temporary file: made once, and read in any order while it lives.

A side takes some 2 KB: in a file those of a large corpus take no memory of their own, and what is
read often stays in the page cache. The file has no name and ends with the process.
"""

import mmap
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_export.contract.evidence import CHANNELS_OF_KEYS, NO_LETTERS, Side

Packed = NDArray[np.uint32]
_HEAD = len(CHANNELS_OF_KEYS) + 6
"""Numbers before the keys: sizes of the channels, name known, name, limit, script, width,
vectors."""
_BUFFER_BYTES = 1 << 20


def pack(side: Side) -> Packed:
    """All of a side as numbers."""
    width = 0 if side.embedding is None else len(side.embedding)
    name = (0, 0) if side.name is None else (1, side.name)
    head = [*side.sizes, *name, side.limit, side.script - NO_LETTERS, width, len(side.vectors)]
    parts = [np.array(head, np.uint32), side.flat]
    if side.embedding is not None:
        parts.append(side.embedding.astype(np.float32, copy=False).view(np.uint32))
    for space, vectors in side.vectors.items():
        name_of_space = space.encode()
        padded = name_of_space + bytes(-len(name_of_space) % 4)
        parts.append(np.array([len(name_of_space), *vectors.shape], np.uint32))
        parts.append(np.frombuffer(padded, np.uint32))
        parts.append(np.ascontiguousarray(vectors, np.float32).ravel().view(np.uint32))
    return np.concatenate(parts)


def unpack(numbers: Packed, place: int = 0) -> Side:
    """The side that is packed at a place; its arrays are views."""
    head: list[int] = numbers[place : place + _HEAD].tolist()
    *sizes, has_name, name, limit, script, width, spaces = head
    place += _HEAD
    end = place + sum(sizes)
    embedding = numbers[end : end + width].view(np.float32) if width else None
    vectors = _vectors(numbers, end + width, spaces)
    known = name if has_name else None
    keys = numbers[place:end]
    return Side.joined(keys, tuple(sizes), known, limit, vectors, embedding, script + NO_LETTERS)


class PackedSides:
    """Sides by streamer. One thread puts them; once all are there, any thread may read."""

    def __init__(self, folder: Path | None = None) -> None:
        """None yet; the file is in `folder`, else where temporary files are."""
        self._file = tempfile.TemporaryFile(dir=folder, buffering=_BUFFER_BYTES)  # noqa: SIM115
        self._place_of: dict[str, int] = {}  # in numbers of four bytes
        self._end = 0
        self._read: Packed | None = None

    def __contains__(self, streamer_id: str) -> bool:
        """Whether a side was put."""
        return streamer_id in self._place_of

    def put(self, streamer_id: str, packed: Packed) -> None:
        """Write what `pack` made of a side."""
        self._file.write(packed.tobytes())
        self._place_of[streamer_id] = self._end
        self._end += len(packed)
        self._read = None

    def place(self, streamer_id: str) -> int:
        """Where in the file the side is that was put last for a streamer.

        Raises:
            KeyError: none was.
        """
        return self._place_of[streamer_id]

    def get(self, streamer_id: str) -> Side:
        """The side that was put last for a streamer; its arrays are views of the file.

        Raises:
            KeyError: none was.
        """
        place = self.place(streamer_id)
        if self._read is None:
            self._file.flush()
            self._read = read_file(self._file.fileno())
        return unpack(self._read, place)

    def file(self) -> str:
        """A path by which processes that this one started read the file, as it is now."""
        self._file.flush()
        return f"/proc/{os.getpid()}/fd/{self._file.fileno()}"

    def close(self) -> None:
        """Forget everything; sides that are still in use stay readable."""
        self._read = None
        self._place_of.clear()
        self._file.close()


def read_file(descriptor: int) -> Packed:
    """The numbers of such a file, which are read when they are needed."""
    return np.frombuffer(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ), np.uint32)


def _vectors(numbers: Packed, place: int, spaces: int) -> Mapping[str, NDArray[np.float32]]:
    found: dict[str, NDArray[np.float32]] = {}
    for _ in range(spaces):
        length, count, width = numbers[place : place + 3].tolist()
        place += 3
        end = place + -(-length // 4)
        space = numbers[place:end].tobytes()[:length].decode()
        place, end = end, end + count * width
        found[space] = numbers[place:end].view(np.float32).reshape(count, width)
        place = end
    return found
