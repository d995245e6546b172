"""Keeps what can be read of a damaged append-only log, once its loss is accepted."""

import logging
import mmap
import os
import re
import shutil
import time
from pathlib import Path

from service.errors import StoreStartFailed
from service.store.embedded.append_only_log import FOLDER

_log = logging.getLogger(__name__)
_LOADED = re.compile(r"DB loaded from (?:base|incr) file (\S+):")
_UNKNOWN = re.compile(r"error: unknown command '([^']*)'")
_LISTED = re.compile(r"file (\S+) seq \d+ type ([bi])")
_COUNT = re.compile(rb"\*([1-9]\d{0,9})\r\n")
_SIZE = re.compile(rb"\$(\d{1,10})\r\n")
_CHECKSUM_BYTES = 8  # at the end of a base; all zero: there is none


def place_of_copy(folder: Path) -> Path:
    """Where a damaged log of a store is kept as it was, from now on."""
    return folder / f"{FOLDER}.damaged-{time.strftime('%Y%m%dT%H%M%S')}"


def salvage(folder: Path, output: str, aside: Path) -> None:
    """Take out of a log what the store could not read; its next start may find more.

    A base that can't be read is left out, and so is what follows a command that can't be.

    Args:
        folder: of the store.
        output: what the store printed when it refused the log.
        aside: where the log is kept as it was; copied unless it is there.

    Raises:
        StoreStartFailed: there is no room for the copy.
    """
    log = folder / FOLDER
    _keep_copy(log, aside)
    listed = _files_of(log)
    loaded = set(_LOADED.findall(output))
    bad = next((name for name, _ in listed if not (log / name).exists()), None)
    bad = bad or next((name for name, _ in listed if name not in loaded), None)
    if bad is None or "AOF MANIFEST FILE ERROR" in output:
        shutil.rmtree(log)
        _log.warning("accepted: all of %s is lost", log)
        return
    kinds = dict(listed)
    path, size = log / bad, (log / bad).stat().st_size if (log / bad).exists() else 0
    if kinds[bad] == "b":
        if "RDB CRC error" in output and size > _CHECKSUM_BYTES:
            with path.open("rb+") as file:
                file.seek(-_CHECKSUM_BYTES, os.SEEK_END)
                file.write(bytes(_CHECKSUM_BYTES))
            _log.warning("accepted: %s is read in spite of its wrong checksum; verify it", path)
            return
        _log.warning("accepted: %d bytes of %s are lost", size, path)
        _keep_only(log, [item for item in listed if item[0] != bad])
        return
    unknown = _UNKNOWN.search(output)
    end = _end_of_readable(path, unknown[1].encode() if unknown else None) if size else 0
    end = end if end < size else 0  # a command can be read and not be carried out
    if size:
        os.truncate(path, end)
    kept = listed[: [name for name, _ in listed].index(bad) + bool(size)]
    later = [name for name, _ in listed if (name, kinds[name]) not in kept]
    _log.warning("accepted: from byte %d on %s is lost, and all of %s", end, path, later or "none")
    _keep_only(log, kept)


def _keep_copy(log: Path, aside: Path) -> None:
    if aside.exists():
        return
    try:
        shutil.copytree(log, aside)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise StoreStartFailed(
            f"{log} is damaged, and there is no room to keep a copy before it is changed "
            f"({error}): free as many bytes as it has"
        ) from error
    _log.warning("the store's log is damaged: as it was, it is in %s", aside)


def _files_of(log: Path) -> list[tuple[str, str]]:
    """Name and type of what the manifest lists, in order: `b` for the base, `i` for commands."""
    (manifest,) = log.glob("*.manifest")
    return _LISTED.findall(manifest.read_text(encoding="utf-8", errors="replace"))


def _keep_only(log: Path, kept: list[tuple[str, str]]) -> None:
    """Leave other files out of the manifest, and remove them."""
    (manifest,) = log.glob("*.manifest")
    names = {name for name, _ in kept}
    if not names:
        shutil.rmtree(log)
        return
    lines = manifest.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    left = [line for line in lines if (found := _LISTED.match(line)) and found[1] in names]
    new = manifest.with_suffix(".new")
    new.write_text("".join(left), encoding="utf-8")
    new.replace(manifest)
    for path in log.glob("*.[ar][od][fb]"):
        if path.name not in names:
            path.unlink()


def _end_of_readable(path: Path, unknown: bytes | None) -> int:
    """Where the last command ends before one that is cut, is no command, or has a certain name."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        end = 0
        while count := _COUNT.match(data, end):
            at = count.end()
            for place in range(int(count[1])):
                size = _SIZE.match(data, at)
                if size is None:
                    return end
                at = size.end() + int(size[1])
                if data[at : at + 2] != b"\r\n":
                    return end
                if place == 0 and data[size.end() : at] == unknown:
                    return end
                at += 2
            end = at
        return end
