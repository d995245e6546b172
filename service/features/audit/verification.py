"""Verification of audit logs: every line against its hash, every chain against its anchors."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from service.features.audit.chain import (
    NO_HASH,
    ChainFile,
    Line,
    digest_of,
    files_in,
    lines_in,
    place_of,
)
from service.store.anchors import Anchor


@dataclass
class Report:
    """What verification found.

    Attributes:
        chains: how many have files here.
        lines: how many were checked.
        problems: what was changed or is missing: no crash does that.
        gaps: where a process was killed, or entries could not be written.
        running: chains that are being written.
        elsewhere: anchors of other folders, which are not checked.
        place: name of this folder; None if it has none.
    """

    chains: int = 0
    lines: int = 0
    problems: list[str] = field(default_factory=list[str])
    gaps: list[str] = field(default_factory=list[str])
    running: list[str] = field(default_factory=list[str])
    elsewhere: int = 0
    place: str | None = None


@dataclass
class _Chain:
    """What is known of a chain while its files are read.

    Attributes:
        number: of the last line; None = not known, after a file that is missing.
        digests: hashes that the next line may continue, as stated and as computed; empty = not
            known, after a line that can't be read.
        has_end: whether the last line says that it is.
        last_at: time of the last line.
        at_points: hashes of the lines that are anchored.
    """

    number: int | None = 0
    digests: set[str] = field(default_factory=lambda: {NO_HASH})
    has_end: bool = False
    last_at: float = 0.0
    at_points: dict[int, set[str]] = field(default_factory=dict[int, set[str]])


@dataclass(frozen=True)
class _Removed:
    """What an entry tells of the last file that was removed of a chain."""

    file: int
    last: int
    last_hash: str


def verify(
    folder: Path, anchors: Mapping[str, Anchor] | None, elsewhere: Collection[str] = ()
) -> Report:
    """Check all chains of a folder.

    A folder that was removed looks like one of another replica, and only people can tell them
    apart: whatever they do not name is a problem.

    Args:
        folder: of the files.
        anchors: those in the store, read before the files; None = they are not checked, and lines
            that were cut off the end of a chain are not noticed.
        elsewhere: names of the folders that the store knows and that are not this one.

    Raises:
        OSError: a file can't be read.
    """
    return _Verification(folder, anchors, elsewhere).report


class _Verification:
    def __init__(
        self, folder: Path, anchors: Mapping[str, Anchor] | None, elsewhere: Collection[str]
    ) -> None:
        self._removed: dict[str, _Removed] = {}
        self._gaps: dict[str, tuple[int, str]] = {}
        place = place_of(folder)
        self.report = Report(place=place)
        files: dict[str, list[ChainFile]] = {}
        for file in files_in(folder):
            files.setdefault(file.chain, []).append(file)
        known = anchors or {}
        here = {anchor.place for chain, anchor in known.items() if chain in files}
        here |= {place} if place else set()
        if not here:  # nothing tells which folder it was
            here = {anchor.place for anchor in known.values()} - set(elsewhere)
        own = {chain: anchor for chain, anchor in known.items() if anchor.place in here}
        self.report.elsewhere = len(known) - len(own)
        self._places(here, known, elsewhere)
        self.report.chains = len(files)
        chains = {
            chain: self._chain(chain, parts, _points(own.get(chain)))
            for chain, parts in files.items()
        }
        for chain, parts in files.items():  # entries about other chains are known now
            self._begin(chain, parts[0])
            self._end(chain, parts[-1], chains[chain], own.get(chain), anchors is not None)
        for chain, anchor in own.items():
            removed = self._removed.get(chain)
            gone = removed is not None and removed.last >= anchor.points[-1][0]
            if chain not in files and not gone:
                self._problem(
                    f"chain {chain}: all its files are missing; it had {anchor.points[-1][0]} lines"
                )

    def _problem(self, text: str) -> None:
        self.report.problems.append(text)

    def _places(
        self, here: Collection[str], known: Mapping[str, Anchor], elsewhere: Collection[str]
    ) -> None:
        """That this folder has the name of its anchors, and that people know of all others."""
        place = self.report.place
        if place in elsewhere:  # a list that names this folder too would hide its removal
            self._problem(f"this folder is {place} itself: do not name it by --elsewhere")
        if before := sorted({a.place for a in known.values()} & set(here) - {place}):
            now = f"names {place}" if place else "is missing"
            self._problem(f"the file place {now}: the store has chains of {', '.join(before)}")
        for other in sorted({a.place for a in known.values()} - set(here) - set(elsewhere)):
            times = [anchor.at for anchor in known.values() if anchor.place == other]
            self._problem(
                f"folder {other} is not here, with {len(times)} chains until {_time(max(times))}: "
                f"where another replica has it or had it, add --elsewhere {other}; otherwise it "
                "was removed"
            )

    def _chain(self, chain: str, files: Sequence[ChainFile], points: set[int]) -> _Chain:
        """Check the lines of a chain."""
        state = _Chain()
        expected = files[0].number
        if expected > 1:  # what was before is removed
            state.number, state.digests = None, set()
        for file in files:
            if file.number != expected:
                self._problem(f"chain {chain}: {_files(expected, file.number - 1)} missing")
                state.number, state.digests = None, set()
            expected = file.number + 1
            for at, (raw, is_whole) in enumerate(lines_in(file.path), 1):
                where = f"{file.path.name}, line {at}"
                if not is_whole and file is files[-1]:
                    self.report.gaps.append(f"{where} was not written to its end")
                    break
                self._line(state, raw, where)
                if state.number in points:
                    state.at_points.setdefault(state.number, set(state.digests))
        return state

    def _line(self, state: _Chain, raw: bytes, where: str) -> None:
        line = Line.of(raw)
        if line is None:
            self._problem(f"{where} can't be read: it was changed")
            state.digests = set()
            state.number = None if state.number is None else state.number + 1
            return
        self.report.lines += 1
        number = line.fields["n"]
        fits = {digest_of(line.body, digest) for digest in state.digests}
        if state.number is not None and number != state.number + 1:
            missing = f"lines {state.number + 1} to {number - 1} of its chain are missing before it"
            is_later = number > state.number
            self._problem(f"{where}: {missing if is_later else 'it is out of order'}")
        elif fits and line.digest not in fits:
            self._problem(f"{where} was changed")
        else:
            fits.clear()
        if state.has_end:
            self._problem(f"{where} comes after the end of its chain")
        state.digests = {line.digest, *fits}
        state.number = number
        state.has_end = line.fields.get("kind") == "end"
        self._note(state, line)

    def _note(self, state: _Chain, line: Line) -> None:
        """Remember what an entry tells of chains."""
        fields = line.fields
        kind, at = fields.get("kind"), fields.get("at")
        state.last_at = float(at) if isinstance(at, int | float) else state.last_at
        if kind == "removed" and "last" in fields:
            removed = _Removed(fields["file"], fields["last"], fields["last_hash"])
            before = self._removed.get(fields["chain"])
            if before is None or before.file < removed.file:
                self._removed[fields["chain"]] = removed
        elif kind == "gap":
            self._gaps[fields["chain"]] = (fields["last"], fields["last_hash"])
            if fields.get("anchored") is None:
                self.report.gaps.append(
                    f"chain {fields['chain']} had no anchor at {_time(state.last_at)}: the store "
                    "was replaced before, and what was cut off until then is not noticed"
                )
        elif kind == "lost":
            self.report.gaps.append(
                f"{fields['count']} entries could not be written up to {_time(state.last_at)}"
            )

    def _begin(self, chain: str, first: ChainFile) -> None:
        """That files before the first one were removed by age or size, which an entry tells."""
        removed = self._removed.get(chain)
        if first.number == 1:
            return
        if removed is None or removed.file != first.number - 1:
            self._problem(f"chain {chain}: file {first.number - 1:06} and all before are missing")
            return
        line = next((Line.of(raw) for raw, _ in lines_in(first.path)), None)
        if line is not None and line.fields.get("before") != removed.last_hash:
            self._problem(f"{first.path.name}, line 1 does not continue the file that was removed")

    def _end(
        self, chain: str, last: ChainFile, state: _Chain, anchor: Anchor | None, has_store: bool
    ) -> None:
        """That nothing is cut off, and that it is the chain that was anchored."""
        points = [] if anchor is None else list(anchor.points)
        if chain in self._gaps:
            points.append(self._gaps[chain])
        end = state.number or 0
        state.at_points.setdefault(end, state.digests)
        for number, digest in sorted(set(points)):
            if number > end:
                self._problem(
                    f"{last.path.name} is cut off: lines {end + 1} to {number} are missing"
                )
            elif digest not in state.at_points.get(number, {digest}):
                self._problem(f"chain {chain} is not the one that was anchored at line {number}")
        if last.is_being_written():
            self.report.running.append(chain)
            return
        if has_store and anchor is None:
            self._problem(f"chain {chain} has no anchor in the store: was the store replaced?")
        if not state.has_end:
            self.report.gaps.append(
                f"chain {chain} has no end: the process was killed after line {end}, "
                f"{_time(state.last_at)}, and questions of its last 0.1 s may be missing"
            )


def _points(anchor: Anchor | None) -> set[int]:
    return set() if anchor is None else {number for number, _ in anchor.points}


def _files(first: int, last: int) -> str:
    return f"file {first:06} is" if first == last else f"files {first:06} to {last:06} are"


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
