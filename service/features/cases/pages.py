"""Pages that end where they have bytes enough: a case and its changes may be large."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from pydantic import TypeAdapter

from service.engine.work.lanes import Lane, Lanes
from service.store.documents import Document, DocumentStore, Entry

PAGE_BYTES = 256 << 10
_QUICK_BYTES = 16 << 10
"""So many are decoded at once: that takes no longer than to wait for a turn."""


class _Stored(Protocol):
    @property
    def body(self) -> bytes: ...


One = TypeVar("One", bound=_Stored)
Read = TypeVar("Read")


class Pages:
    """Reads pages of at most `PAGE_BYTES`, or of one alone that has more, in a thread."""

    def __init__(self, documents: DocumentStore, lanes: Lanes) -> None:
        """Read them from `documents`, in `lanes`."""
        self._documents = documents
        self._lanes = lanes

    async def documents(
        self, collection: str, after: str, limit: int, at_once: int, kind: TypeAdapter[Read]
    ) -> tuple[list[tuple[Document, Read]], str | None]:
        """Documents behind an id with what is in them, and the id that continues them.

        Args:
            collection: of the documents.
            after: id.
            limit: most.
            at_once: so many are asked for at a time; what doesn't fit is read in vain.
            kind: of what is in them.
        """

        async def part(last: Document | None, most: int) -> list[Document]:
            place = after if last is None else last.document_id
            return await self._documents.page(collection, place or None, most)

        found, is_more = await self._page(part, limit, at_once, kind)
        return found, found[-1][0].document_id if is_more else None

    async def entries(
        self, collection: str, after: int, limit: int, at_once: int, kind: TypeAdapter[Read]
    ) -> tuple[list[tuple[Entry, Read]], int | None]:
        """Entries of a log behind a number, likewise."""

        async def part(last: Entry | None, most: int) -> list[Entry]:
            number = after if last is None else last.number
            return await self._documents.entries(collection, number, most)

        found, is_more = await self._page(part, limit, at_once, kind)
        return found, found[-1][0].number if is_more else None

    async def _page(
        self,
        part: Callable[[One | None, int], Awaitable[Sequence[One]]],
        limit: int,
        at_once: int,
        kind: TypeAdapter[Any],
    ) -> tuple[list[tuple[One, Any]], bool]:
        found, is_more = await _fitting(part, limit, at_once)

        def read() -> list[tuple[One, Any]]:
            return [(one, kind.validate_json(one.body)) for one in found]

        if sum(len(one.body) for one in found) <= _QUICK_BYTES:
            return read(), is_more
        return await self._lanes.run(read, Lane.HEAVY), is_more


async def _fitting(
    part: Callable[[One | None, int], Awaitable[Sequence[One]]], limit: int, at_once: int
) -> tuple[list[One], bool]:
    """The first that fit, at least one, and whether more may come."""
    found: list[One] = []
    size = 0
    while len(found) < limit:
        asked = min(at_once, limit - len(found))
        some = await part(found[-1] if found else None, asked)
        for one in some:
            size += len(one.body)
            if found and size > PAGE_BYTES:
                return found, True
            found.append(one)
        if len(some) < asked:
            return found, False
    return found, True
