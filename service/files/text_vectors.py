"""Vectors of texts by their hash, in files of SQLite: each text of a corpus is encoded once.

The texts of a corpus are divided among the files by their hash, whatever row shows them.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal, Self
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError

from service.errors import ServiceError
from service.files.part_rows import Part

FORMAT = 1


class UnusableTexts(ServiceError):
    """Files with vectors of texts are damaged, of different corpora, or not all there."""


class AboutTexts(BaseModel):
    """What a file holds: texts of part `part` by their hash, of the input with this digest.

    Attributes:
        format: of these files.
        towers: versions of the towers of texts, sorted.
        part: of the texts, `i/n`.
        input_sha256: of the whole input.
        texts: how many were encoded, each once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = FORMAT
    towers: tuple[str, ...]
    part: str
    input_sha256: str
    texts: int = 0

    def is_of(self, other: Self) -> bool:
        """Whether both are of the same part of the same input, by the same towers."""
        return self.model_copy(update={"texts": 0}) == other.model_copy(update={"texts": 0})


def part_of(key: bytes, count: int) -> int:
    """In which of so many parts a text is, from 1 on, by its hash."""
    return int.from_bytes(key[:8], "big") % count + 1


class TextWriter:
    """Writes one file."""

    def __init__(self, path: Path) -> None:
        """Begin a new file."""
        self._base = sqlite3.connect(path, isolation_level=None)
        try:
            self._begin()
        except sqlite3.Error:
            self._base.close()
            raise
        self.count = 0

    def _begin(self) -> None:
        self._base.execute("PRAGMA journal_mode=OFF")
        self._base.execute("PRAGMA synchronous=OFF")  # the file is synced as a whole
        self._base.execute("CREATE TABLE about (text TEXT)")
        self._base.execute("CREATE TABLE vectors (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")
        self._base.execute("BEGIN")

    def missing(self, keys: Iterable[bytes]) -> set[bytes]:
        """Those of some keys that have no vector yet."""
        look = "SELECT 1 FROM vectors WHERE key = ?"
        return {key for key in keys if self._base.execute(look, (key,)).fetchone() is None}

    def add(self, found: Sequence[tuple[bytes, bytes]]) -> None:
        """Write vectors by their keys."""
        self._base.executemany("INSERT INTO vectors VALUES (?, ?)", found)
        self.count += len(found)

    def finish(self, about: AboutTexts) -> None:
        """Write what the file holds, and close it."""
        self._base.execute("INSERT INTO about VALUES (?)", (about.model_dump_json(),))
        self._base.execute("COMMIT")
        self._base.close()

    def discard(self) -> None:
        """Close the file as it is."""
        self._base.close()


def about_texts(path: Path) -> AboutTexts | None:
    """What a complete file holds; None if it is not such a file.

    Raises:
        OSError: it can't be read.
    """
    with path.open("rb"):
        pass  # the database names no path in its errors
    try:
        with closing(_opened(path)) as base:
            row = base.execute("SELECT text FROM about").fetchone()
        return None if row is None else AboutTexts.model_validate_json(row[0])
    except (sqlite3.DatabaseError, ValidationError):
        return None


class TextVectors:
    """Vectors of the texts of a corpus, from all files of its parts."""

    def __init__(self, files: Sequence[Path], towers: Sequence[str]) -> None:
        """Open the files.

        Args:
            files: of all parts, in any order.
            towers: versions of the towers of texts that the model has.

        Raises:
            UnusableTexts: they are not the parts of one input by these towers.
            OSError: one can't be read.
        """
        parts: dict[str, Path] = {}
        inputs: set[str] = set()
        for path in files:
            about = about_texts(path)
            if about is None:
                raise UnusableTexts(f"{path} was not written by `encode --texts-only`, to its end")
            if about.towers != tuple(sorted(towers)):
                raise UnusableTexts(
                    f"{path} was encoded by other towers than the bundle has: encode the texts "
                    "again with this bundle"
                )
            inputs.add(about.input_sha256)
            if len(inputs) > 1:
                raise UnusableTexts(f"{path} is of another input than {files[0]}")
            parts[about.part] = path
        count = int(next(iter(parts)).partition("/")[2])
        wanted = [str(Part(i, count)) for i in range(1, count + 1)]
        if missing := [part for part in wanted if part not in parts]:
            raise UnusableTexts(f"the file of part {missing[0]} of the texts is missing by --texts")
        self._bases = [_opened(parts[part]) for part in wanted]

    def get(self, key: bytes) -> bytes | None:
        """The vector of a text; None if it is not there."""
        base = self._bases[part_of(key[-16:], len(self._bases)) - 1]
        row = base.execute("SELECT vector FROM vectors WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def close(self) -> None:
        """Close the files."""
        for base in self._bases:
            base.close()


def _opened(path: Path) -> sqlite3.Connection:
    """A complete file, which nobody writes any more."""
    address = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
    return sqlite3.connect(address, uri=True, check_same_thread=False)
