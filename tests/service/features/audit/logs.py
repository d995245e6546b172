"""Audit logs in a folder, and a store of anchors in memory."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from service.errors import StoreUnavailable
from service.features.audit.chain import ChainWriter, files_in
from service.features.audit.trail import AuditTrail
from service.http.auth.audit import Entry
from service.settings import Audit
from service.store.anchors import Anchor


class MemoryAnchors:
    """An `AnchorStore`.

    Attributes:
        known: as a store holds them.
        is_down: whether it answers nothing.
        ahead_s: its clock, of the real one.
    """

    def __init__(self) -> None:
        self.known: dict[str, Anchor] = {}
        self.is_down = False
        self.ahead_s = 0.0

    async def all(self) -> dict[str, Anchor]:
        self._ask()
        return dict(self.known)

    async def put(self, anchors: Mapping[str, Anchor]) -> None:
        self._ask()
        self.known |= anchors

    async def now(self) -> float:
        self._ask()
        return time.time() + self.ahead_s

    async def remove(self, chains: Sequence[str]) -> None:
        self._ask()
        for chain in chains:
            self.known.pop(chain, None)

    def _ask(self) -> None:
        if self.is_down:
            raise StoreUnavailable("the store is gone")


def entry(number: int = 0, **fields: Any) -> Entry:
    """A question that was answered."""
    template = Entry(
        at=1000.0 + number,
        key_id="0123456789ab",
        client=None,
        method="GET",
        route="/v1/streamers/{streamer_id}/similar",
        scope="search",
        ids=[f"s-{number}"],
        more_ids=0,
        results=10,
        status=200,
        request_id=f"r-{number}",
    )
    return template._replace(**fields)


def trail(
    folder: Path,
    anchors: MemoryAnchors | None = None,
    now: Callable[[], float] = time.time,
    **settings: Any,
) -> AuditTrail:
    return AuditTrail(folder, Audit(**settings), anchors or MemoryAnchors(), now)


def written(folder: Path) -> list[dict[str, Any]]:
    """All entries of a data folder, chain by chain."""
    files = files_in(folder / "audit")
    return [json.loads(line) for file in files for line in file.path.read_text().splitlines()]


def chain_of(folder: Path, lines: int, file_bytes: int = 1 << 20) -> tuple[ChainWriter, Anchor]:
    """A chain with an end, of so many lines and those that it needs, and its anchor."""
    writer = ChainWriter(folder, file_bytes, 3600.0, sync=False)
    writer.open()
    for number in range(lines):
        writer.append([{"kind": "request", "at": 1.0, "ids": [f"s-{number}"]}])
    writer.append([{"kind": "end", "at": 1.0}])
    writer.close()
    head = writer.head
    return writer, Anchor(writer.place, ((head.number, head.digest),), 1.0, is_closed=True)
