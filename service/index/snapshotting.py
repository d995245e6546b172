"""Indexes that can be written to a folder and read again."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from service.files.checksummed import ChecksummedFolder
from service.index.base import VectorIndex


@runtime_checkable
class Snapshotting(VectorIndex, Protocol):
    """An index with snapshots; both methods block, so call them in a thread."""

    def save(self, path: Path, about: Mapping[str, Any], is_stopped: Callable[[], bool]) -> None:
        """Write a snapshot to a new checksummed folder, beside searches and writes.

        What was written before the call is in it; what is written meanwhile may be missing, in an
        older version, or there.

        Args:
            path: the folder, where nothing is yet.
            about: goes with it.
            is_stopped: asked now and then.

        Raises:
            OSError: it could not be written; nothing is there then.
            Stopped: it was told to stop; nothing is there then.
        """
        ...

    def load(self, source: ChecksummedFolder) -> None:
        """Fill the index, which is empty, from a snapshot; takes seconds for a million streamers.

        Raises:
            Broken: it is not what was written, or of another width; the index stays empty.
            OSError: there is no room for it; the index stays empty.
        """
        ...
