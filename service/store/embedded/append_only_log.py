"""Valkey's append-only log on disk: torn, damaged, or without its manifest."""

import logging
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from service.errors import StoreStartFailed

_log = logging.getLogger(__name__)
FOLDER = "appendonlydir"
RESTORE = "`python -m service restore BACKUP`"
# Valkey then advises a tool that is not installed with the service.
_DAMAGED = re.compile(
    r"Bad file format|AOF MANIFEST FILE ERROR|Unrecoverable error|Short read|Wrong signature"
    r"|RDB CRC error|Internal error in RDB reading|Unable to obtain the AOF file"
    r"|AOF .* doesn't exist|the truncated file is not the last file"
    r"|Error reading the append only file"
)
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
        _log.warning("the end of %s was torn; what was cut is in %s", self.path, self.copy)
        try:
            if found := _CUT.search(output):
                with self.copy.open("rb+") as copy:
                    copy.seek(int(found[1]))
                    cut = copy.read()
                    copy.seek(0)
                    copy.write(cut)
                    copy.truncate()
        except OSError as error:
            _log.warning("%s is a copy of the whole log: %s", self.copy, error)


def damage_named_in(output: str, folder: Path) -> str | None:
    """What is wrong with the log below `folder`, if the store ended because it can't read it."""
    if found := _DAMAGED.search(output):
        return (
            f"the log in {folder} is damaged ({found[0]}): put a backup back with {RESTORE}, or "
            f"start with --accept-data-loss to go on with what can be read; the log stays as it "
            f"is, and {folder / 'store.log'} has the details"
        )
    return None


def has_log(folder: Path) -> bool:
    """Whether anything of a log is below a store's folder."""
    return any((folder / FOLDER).glob("*.aof*"))


def check_manifest(folder: Path, *, accept_data_loss: bool) -> None:
    """Keep the store from overwriting the files of a log whose manifest is gone.

    Raises:
        StoreStartFailed: there are such files. Those of an accepted loss are set aside.
    """
    log = folder / FOLDER
    if not has_log(folder) or any(log.glob("*.manifest")):
        return
    if not accept_data_loss:
        raise StoreStartFailed(
            f"{log} has files of the store's log and no manifest: put the manifest back, or a "
            f"backup with {RESTORE}, or start with --accept-data-loss and an empty store"
        )
    aside = log.with_name(f"{FOLDER}.lost-{time.strftime('%Y%m%dT%H%M%S')}")
    log.rename(aside)
    _log.warning("the store's log has no manifest: its files are in %s", aside)
