"""Keeps what is cut off a torn append-only log."""

import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from service.errors import StoreStartFailed

# The name is missing in releases that knew a single file.
_TORN = re.compile(r"Unexpected end of file reading the append only file(?: (\S+))?\. You can")
_CUT = re.compile(r"Truncating the AOF .*at offset (\d+)")
_SINGLE_FILE = "appendonly.aof"


@dataclass(frozen=True)
class TornLog:
    """A log whose last command is incomplete, and where its copy goes."""

    path: Path
    copy: Path

    @classmethod
    def named_in(cls, output: str, folder: Path) -> Self | None:
        """The log below `folder` that the store refused as torn, if that is why it ended."""
        found = _TORN.search(output)
        if found is None:
            return None
        path = next(folder.rglob(found[1] or _SINGLE_FILE), None)
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        return cls(path, folder / f"torn-{stamp}-{time.time_ns() % 10**9:09}") if path else None

    def keep_copy(self) -> None:
        """Copy the log before its end is cut.

        Raises:
            StoreStartFailed: there is no room for the copy.
        """
        try:
            shutil.copyfile(self.path, self.copy)
        except OSError as error:
            self.copy.unlink(missing_ok=True)
            raise StoreStartFailed(
                f"the end of {self.path} is torn and must be cut, but there is no room to keep a "
                f"copy of it first ({error}): free {self.path.stat().st_size} bytes"
            ) from error

    def keep_only_what_was_cut(self, output: str) -> None:
        """Shrink the copy to the bytes that the store cut, as it says in its output."""
        if found := _CUT.search(output):
            with self.copy.open("rb+") as copy:
                copy.seek(int(found[1]))
                cut = copy.read()
                copy.seek(0)
                copy.write(cut)
                copy.truncate()
