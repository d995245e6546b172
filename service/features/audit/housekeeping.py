"""Ends of chains whose process was killed, and removal of old files; both leave an entry."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.features.audit.chain import ChainFile, ChainWriter, files_in, head_in
from service.settings import Audit
from service.store.anchors import Anchor

_DAY_S = 86_400.0


@dataclass(frozen=True)
class Gap:
    """A chain that has no end: its process was killed, and up to a batch of questions is lost.

    Attributes:
        chain: its name.
        fields: of the entry that says so.
        anchor: its last, after which nothing may be cut off it.
    """

    chain: str
    fields: dict[str, Any]
    anchor: Anchor


@dataclass(frozen=True)
class OldFile:
    """A file that is to be removed, and the entry that says so."""

    path: Path
    fields: dict[str, Any]


class Housekeeping:
    """Looks after a folder; for the thread of its writer."""

    def __init__(self, settings: Audit, now: Callable[[], float] = time.time) -> None:
        """Keep what the settings say."""
        self._settings = settings
        self._now = now

    def gaps(self, own: ChainWriter, known: Mapping[str, Anchor], now: float) -> list[Gap]:
        """Chains that nobody writes and that were not closed.

        An anchor that is further than the files stays: verification names what is missing. Of a
        chain that ended so long ago that its files go now, other processes may have forgotten it.

        Args:
            own: of this process.
            known: anchors by chain.
            now: the time, in seconds since 1970.

        Raises:
            OSError: the files can't be read.
        """
        last = {file.chain: file for file in files_in(own.folder)}
        last.pop(own.chain, None)
        oldest = now - self._settings.keep_days * _DAY_S
        found: list[Gap] = []
        for chain, file in last.items():
            anchor = known.get(chain)
            if (anchor is not None and anchor.is_closed) or file.is_being_written():
                continue
            line = head_in(file.path)
            number = 0 if line is None else line.fields["n"]
            before = () if anchor is None else anchor.points
            if line is None or (before and before[-1][0] > number):
                continue
            is_over = line.fields.get("kind") == "end" and file.path.stat().st_mtime < oldest
            if anchor is None and is_over:
                continue
            point = (number, line.digest)
            points = (*before[-1:], point) if point not in before else before
            closing = Anchor(own.place, points, self._now(), is_closed=True)
            fields = {"kind": "gap", "at": self._now(), "chain": chain, "file": file.number}
            fields |= {"last": number, "last_hash": line.digest, "last_at": line.fields.get("at")}
            fields |= {"anchored": before[-1][0] if before else None}
            found.append(Gap(chain, fields, closing))
        return found

    def left_behind(self, own: ChainWriter, known: Mapping[str, Anchor], now: float) -> list[str]:
        """Chains of other folders that ended so long ago that their files should be gone for long.

        Their folders may have vanished with a replica, and nobody else would forget their anchors.
        """
        oldest = now - 2 * self._settings.keep_days * _DAY_S
        return [
            chain
            for chain, anchor in known.items()
            if anchor.is_closed and anchor.place != own.place and anchor.at < oldest
        ]

    def old_files(self, own: ChainWriter, now: float) -> list[OldFile]:
        """Files that are older than they are kept, or that are too many bytes, oldest first.

        Of a chain its first files go first, and none that is being written.

        Args:
            own: of this process.
            now: the time, in seconds since 1970.

        Raises:
            OSError: the files can't be read.
        """
        files = [(file, file.path.stat()) for file in files_in(own.folder)]
        total = sum(about.st_size for _, about in files)
        oldest = now - self._settings.keep_days * _DAY_S
        found: list[OldFile] = []
        kept: set[str] = set()
        for file, about in sorted(files, key=lambda pair: (pair[1].st_mtime, pair[0].path.name)):
            is_old = about.st_mtime < oldest or total > self._settings.keep_bytes
            if not is_old or file.chain in kept or _is_last_of(file, own):
                kept.add(file.chain)
                continue
            total -= about.st_size
            found.append(OldFile(file.path, self._entry(file)))
        return found

    def _entry(self, file: ChainFile) -> dict[str, Any]:
        line = head_in(file.path)
        fields = {"kind": "removed", "at": self._now(), "chain": file.chain, "file": file.number}
        if line is not None:
            fields |= {"last": line.fields["n"], "last_hash": line.digest}
        return fields

    def remove(self, own: ChainWriter, old: Sequence[OldFile]) -> list[str]:
        """Remove files; the chains of which none is left.

        Raises:
            OSError: one can't be removed.
        """
        for file in old:
            file.path.unlink(missing_ok=True)
        left = {file.chain for file in files_in(own.folder)}
        return sorted({str(file.fields["chain"]) for file in old} - left)


def _is_last_of(file: ChainFile, own: ChainWriter) -> bool:
    """Whether a file is being written."""
    if file.chain == own.chain:
        return file.number == own.head.file
    return file.is_being_written()
