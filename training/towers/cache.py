"""Disk cache of tower vectors: one SQLite file per tower version.

Writes are transactions, so a killed run loses only its current batch, and several runs can share a
folder.
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
"""Timeout for a concurrent writer."""


def cache_folder() -> Path:
    """Default folder of cached vectors and unpacked weights."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "similar-streamer" / "towers"


class FeatureCache:
    """Vectors of one tower version, float16, by payload key."""

    def __init__(self, folder: Path, spec: TowerSpec) -> None:
        """Open or create the tower's file.

        Raises:
            CacheError: the file can't be created, is damaged, or belongs to another tower.
        """
        self._width = spec.width
        self.path = folder / f"{spec.name}-{spec.version[:16]}.sqlite"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CacheError(
                f"{folder} can't be made: {error.strerror}; choose another folder"
            ) from error
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
        """Vector (width,) of a key, empty (0,) for a payload without content; None if missing.

        Raises:
            CacheError: the file is damaged.
        """
        with self._told():
            row = self._base.execute("SELECT vector FROM vectors WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        if len(row[0]) not in (0, 2 * self._width):
            raise CacheError(f"{self.path} is damaged; remove it to compute it again")
        return np.frombuffer(row[0], np.dtype("<f2"))

    def add(
        self, keys: Sequence[bytes], vectors: NDArray[np.float32], nothing: Sequence[bytes] = ()
    ) -> None:
        """Store vectors (N, width) of N keys and the keys without content, in one transaction.

        Raises:
            CacheError: the file is damaged, or the disk is full.
        """
        rows = [*(vector.tobytes() for vector in vectors.astype("<f2")), *(b"" for _ in nothing)]
        pairs = zip([*keys, *nothing], rows, strict=True)
        with self._told(), self._base:
            self._base.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", pairs)

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:  # disk full, not writable, or locked
            raise CacheError(f"{self.path} can't be used: {error}") from error
        except sqlite3.DatabaseError as error:
            raise CacheError(
                f"{self.path} is damaged ({error}); remove it to compute it again"
            ) from error
