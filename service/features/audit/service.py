"""Use cases of the audit log: pages and an export of the files of this replica."""

import asyncio
import base64
import binascii
import contextlib
import os
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from service.engine.work.lanes import Lane, Lanes
from service.errors import InvalidRequest, Overloaded
from service.features.audit.chain import ChainFile, Line, files_in

_PART_BYTES = 4 << 20
"""So much is read for one page, and at once of an export."""
_PART_LINES = 10_000
_PAUSES_S = (1.0, 2.0, 5.0, 12.0)
_BLOCK_BYTES = 1 << 16
Order = Literal["oldest", "newest"]
"""Which entries come first."""


@dataclass(frozen=True)
class Wanted:
    """Entries that are asked for.

    Attributes:
        key_id: only of this key; None = of all.
        streamer_id: only those that name this one among their first ids.
        since: only from this time on, in seconds since 1970.
        until: only before this time.
    """

    key_id: str | None = None
    streamer_id: str | None = None
    since: float | None = None
    until: float | None = None

    def has(self, fields: dict[str, Any]) -> bool:
        """Whether an entry is one of them."""
        at = fields.get("at", 0.0)
        return (
            (self.key_id is None or fields.get("key_id") == self.key_id)
            and (self.streamer_id is None or self.streamer_id in fields.get("ids", ()))
            and (self.since is None or at >= self.since)
            and (self.until is None or at < self.until)
        )


@dataclass(frozen=True)
class _Place:
    """Where reading goes on: a file by its name, a byte in it, and which way."""

    name: str = ""
    offset: int = 0
    order: Order = "oldest"


@dataclass(frozen=True)
class Found:
    """Lines as they are in the files, and where the next ones are; None at the end."""

    lines: Sequence[tuple[str, bytes, dict[str, Any]]]
    next_cursor: str | None


class AuditPages:
    """What is in the files of a folder."""

    def __init__(self, folder: Path, lanes: Lanes) -> None:
        """Read nothing yet; later in slices, by the threads of `lanes`."""
        self._folder = folder
        self._lanes = lanes

    async def page(
        self,
        wanted: Wanted,
        cursor: str | None,
        limit: int,
        lane: Lane = Lane.HEAVY,
        order: Order = "oldest",
    ) -> Found:
        """Up to `limit` entries, chain by chain, in the order in which they were written, or back.

        Returns:
            (chain, line without its end, fields) of each; few or none where much was passed over.

        Raises:
            InvalidRequest: the cursor is none of this log in this order.
            Overloaded: too much other work is waiting.
        """
        place = _Place(order=order) if cursor is None else _place_of(cursor)
        if place.order != order:
            raise InvalidRequest.of_parameter("cursor", f"is one of order={place.order}: keep it")
        return await self._lanes.run_in_slices(self._page(wanted, place, limit), lane)

    async def export(self, wanted: Wanted) -> AsyncGenerator[list[bytes], None]:
        """All entries that are in the files now, in parts, as they are there.

        Others have priority: where there is no room for a part, it is tried again for 20 s.

        Raises:
            Overloaded: there was no room all that time.
        """
        cursor: str | None = None
        while True:
            found = await self._part(wanted, cursor)
            yield [raw for _, raw, _ in found.lines]
            cursor = found.next_cursor
            if cursor is None:
                return

    async def _part(self, wanted: Wanted, cursor: str | None) -> Found:
        for pause_s in _PAUSES_S:
            with contextlib.suppress(Overloaded):
                return await self.page(wanted, cursor, _PART_LINES, Lane.BULK)
            await asyncio.sleep(pause_s)
        return await self.page(wanted, cursor, _PART_LINES, Lane.BULK)

    def _page(self, wanted: Wanted, place: _Place, limit: int) -> Generator[None, None, Found]:
        """Read a page in steps of a line."""
        lines: list[tuple[str, bytes, dict[str, Any]]] = []
        left = _PART_BYTES
        read = _lines_from if place.order == "oldest" else _lines_before
        for file in self._files(wanted, place):
            offset = place.offset if file.path.name == place.name else None
            with contextlib.suppress(FileNotFoundError):  # it was old enough
                for start, raw in read(file.path, offset):
                    if len(lines) == limit or left <= 0:
                        at = start if place.order == "oldest" else start + len(raw)
                        return Found(lines, _cursor_of(_Place(file.path.name, at, place.order)))
                    yield
                    left -= len(raw)
                    line = Line.of(raw[:-1])
                    if line is not None and wanted.has(line.fields):
                        lines.append((file.chain, raw[:-1], line.fields))
        return Found(lines, None)

    def _files(self, wanted: Wanted, place: _Place) -> Iterator[ChainFile]:
        """Files that may have entries from a place on."""
        files = files_in(self._folder)
        if place.order == "newest":
            files.reverse()
        for file in files:
            passed = file.path.name > place.name
            if place.name and file.path.name != place.name and passed == (place.order == "newest"):
                continue
            try:
                is_older = wanted.since is not None and file.path.stat().st_mtime < wanted.since
            except FileNotFoundError:
                continue
            if not is_older:
                yield file


def _lines_from(path: Path, offset: int | None) -> Iterator[tuple[int, bytes]]:
    """Lines with their ends, and where each begins, from a byte on, where a line begins."""
    start = offset or 0
    with path.open("rb") as part:
        _check_within(part, start)
        part.seek(start)
        for raw in part:
            if not raw.endswith(b"\n"):
                return  # it is being written
            yield start, raw
            start += len(raw)


def _lines_before(path: Path, offset: int | None) -> Iterator[tuple[int, bytes]]:
    """Lines with their ends, and where each begins, before a byte, where a line ends: back."""
    with path.open("rb") as part:
        start = part.seek(0, os.SEEK_END) if offset is None else offset
        _check_within(part, start)
        rest = b""
        while start > 0:
            size = min(_BLOCK_BYTES, start)
            start -= size
            part.seek(start)
            lines = (part.read(size) + rest).splitlines(keepends=True)
            # The first one may begin in the block before.
            rest = lines[0] if start else b""
            end = start + sum(map(len, lines))
            for raw in reversed(lines[1:] if start else lines):
                end -= len(raw)
                if raw.endswith(b"\n"):  # or it is being written
                    yield end, raw


def _check_within(part: BinaryIO, offset: int) -> None:
    if offset > os.fstat(part.fileno()).st_size:
        raise InvalidRequest.of_cursor()


def _cursor_of(place: _Place) -> str:
    back = ":newest" if place.order == "newest" else ""
    return base64.urlsafe_b64encode(f"{place.name}:{place.offset}{back}".encode()).decode()


def _place_of(cursor: str) -> _Place:
    try:
        text = base64.b64decode(cursor.encode(), altchars=b"-_", validate=True).decode()
        name, _, at = text.partition(":")
        offset, _, order = at.partition(":")
        is_name = ChainFile.of(Path(name)) is not None and "/" not in name
        if not is_name or not offset.isdecimal() or order not in ("", "newest"):
            raise ValueError(text)
        return _Place(name, int(offset), "newest" if order else "oldest")
    except (binascii.Error, ValueError):
        raise InvalidRequest.of_cursor() from None
