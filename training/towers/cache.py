"""Vectors of pieces on disk, so that each is computed once: one SQLite file per tower version.

A transaction is written whole or not at all, so a run that is killed loses the batch it was at and
no more, and several runs may share a folder.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_export.contract.towers import TowerSpec
from training.errors import CacheError

_WAIT_S = 60.0
"""For another run that is writing."""


def cache_folder() -> Path:
    """Where vectors and unpacked weights are kept, unless it is said otherwise."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "similar-streamer" / "towers"


class FeatureCache:
    """The vectors of one tower version, float16, by the key of what was read."""

    def __init__(self, folder: Path, spec: TowerSpec) -> None:
        """Open the tower's file, or make it.

        Raises:
            CacheError: it can't be made, is damaged, or is another tower's.
        """
        self._width = spec.width
        self.path = folder / f"{spec.name}-{spec.version[:16]}.sqlite"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CacheError(f"{folder} can't be made: {error.strerror}") from error
        with self._told():
            self._base = sqlite3.connect(self.path, timeout=_WAIT_S)
        with self._told(), self._base:
            self._base.execute("CREATE TABLE IF NOT EXISTS tower (version TEXT UNIQUE)")
            self._base.execute("INSERT OR IGNORE INTO tower VALUES (?)", (spec.version,))
            self._base.execute(
                "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)"
            )
            versions = self._base.execute("SELECT version FROM tower").fetchall()
        if versions != [(spec.version,)]:
            raise CacheError(f"{self.path} holds vectors of another tower; remove it")

    def __len__(self) -> int:
        with self._told():
            return int(self._base.execute("SELECT count(*) FROM vectors").fetchone()[0])

    def get(self, key: bytes) -> NDArray[np.float16] | None:
        """The vector (width,) of a key, or an empty one (0,) of a payload that shows nothing.

        None if it was not computed yet.

        Raises:
            CacheError: the file is damaged.
        """
        with self._told():
            row = self._base.execute("SELECT vector FROM vectors WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        if len(row[0]) not in (0, 2 * self._width):
            raise CacheError(f"{self.path} is damaged; remove it, it will be computed again")
        return np.frombuffer(row[0], np.dtype("<f2"))

    def add(
        self, keys: Sequence[bytes], vectors: NDArray[np.float32], nothing: Sequence[bytes] = ()
    ) -> None:
        """Keep vectors (N, width) of N keys, and which keys show nothing; all or none of them.

        Raises:
            CacheError: the file is damaged, or there is no room.
        """
        rows = [*(vector.tobytes() for vector in vectors.astype("<f2")), *(b"" for _ in nothing)]
        pairs = zip([*keys, *nothing], rows, strict=True)
        with self._told(), self._base:
            self._base.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", pairs)

    def close(self) -> None:
        """Let go of the file."""
        self._base.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:  # no room, no right to write, locked
            raise CacheError(f"{self.path} can't be used: {error}") from error
        except sqlite3.DatabaseError as error:
            raise CacheError(
                f"{self.path} is damaged ({error}); remove it, it will be computed again"
            ) from error
