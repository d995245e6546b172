"""Use cases of the audit log: pages and an export of the files of this replica."""

import asyncio
import base64
import binascii
import contextlib
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.engine.work.lanes import Lane, Lanes
from service.errors import InvalidRequest, Overloaded
from service.features.audit.chain import ChainFile, Line, files_in

_PART_BYTES = 4 << 20
"""So much is read for one page, and at once of an export."""
_PART_LINES = 10_000
_PAUSES_S = (1.0, 2.0, 5.0, 12.0)


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
    """Where reading goes on: a file by its name, and a byte in it."""

    name: str = ""
    offset: int = 0


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
        self, wanted: Wanted, cursor: str | None, limit: int, lane: Lane = Lane.HEAVY
    ) -> Found:
        """Up to `limit` entries, chain by chain, in the order in which they were written.

        Returns:
            (chain, line without its end, fields) of each; few or none where much was passed over.

        Raises:
            InvalidRequest: the cursor is none of this log.
            Overloaded: too much other work is waiting.
        """
        place = _Place() if cursor is None else _place_of(cursor)
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
        for file in self._files(wanted, place):
            offset = place.offset if file.path.name == place.name else 0
            try:
                part = file.path.open("rb")
            except FileNotFoundError:
                continue  # it was old enough
            with part:
                part.seek(offset)
                for raw in part:
                    if not raw.endswith(b"\n"):
                        break  # it is being written
                    if len(lines) == limit or left <= 0:
                        return Found(lines, _cursor_of(_Place(file.path.name, offset)))
                    yield
                    offset += len(raw)
                    left -= len(raw)
                    line = Line.of(raw[:-1])
                    if line is not None and wanted.has(line.fields):
                        lines.append((file.chain, raw[:-1], line.fields))
        return Found(lines, None)

    def _files(self, wanted: Wanted, place: _Place) -> Iterator[ChainFile]:
        """Files that may have entries from a place on."""
        for file in files_in(self._folder):
            if file.path.name < place.name:
                continue
            try:
                is_older = wanted.since is not None and file.path.stat().st_mtime < wanted.since
            except FileNotFoundError:
                continue
            if not is_older:
                yield file


def _cursor_of(place: _Place) -> str:
    return base64.urlsafe_b64encode(f"{place.name}:{place.offset}".encode()).decode()


def _place_of(cursor: str) -> _Place:
    try:
        text = base64.b64decode(cursor.encode(), altchars=b"-_", validate=True).decode()
        name, _, offset = text.partition(":")
        if ChainFile.of(Path(name)) is None or "/" in name or not offset.isdecimal():
            raise ValueError(text)
        return _Place(name, int(offset))
    except (binascii.Error, ValueError):
        raise InvalidRequest.of_parameter(
            "cursor", "is not a cursor that this service gave"
        ) from None
