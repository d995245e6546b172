"""The feed of events, read by an opaque cursor."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from service.errors import CursorExpired, InvalidRequest
from service.features.events.kinds import Selection
from service.features.events.news import News
from service.store.events import EventStore, FeedGap, FeedPlace, StoredEvent

MOST_CURSOR = 512
_CURSOR = re.compile(r"([0-9a-f]{8})((?:-[a-z_]{1,32}\.[0-9a-f]{1,14}(?:\.[0-9a-f]{6})?){0,20})")
"""Of a feed; of each group its name, a number, and the mark of that event, which earlier releases
lack."""
LOOKED_AT_ONCE = 1000
"""Events that are read together to find those of single kinds."""
_SLICE_S = 1.0


@dataclass(frozen=True)
class FoundPage:
    """Events, each with the place behind it.

    Attributes:
        events: in order.
        cursor: continues behind all of them.
        oldest_at: of each group that was read, when the oldest event happened that is kept.
    """

    events: Sequence[tuple[StoredEvent, FeedPlace]]
    cursor: str
    oldest_at: Mapping[str, float | None]


class Events:
    """The use-case behind `GET /v1/events`."""

    def __init__(self, store: EventStore, news: News) -> None:
        """Read what `store` keeps; `news` tells that there is more."""
        self._store = store
        self._news = news

    async def page(
        self,
        cursor: str | None,
        limit: int,
        selection: Selection,
        more: Callable[[], None] | None = None,
    ) -> FoundPage:
        """Events after a cursor, None = from the oldest that is kept.

        Args:
            cursor: of this service.
            limit: most events.
            selection: of kinds.
            more: called before each further read, about `LOOKED_AT_ONCE` events, where none that
                was read so far is selected; what it raises ends the search.

        Raises:
            InvalidRequest: the cursor is none that this service gave.
            CursorExpired: the events after it are not kept any more.
        """
        after = None if cursor is None else _place_of(cursor)
        at_once = max(limit, LOOKED_AT_ONCE) if selection.kinds else limit
        while True:
            try:
                page = await self._store.page(after, at_once, selection.groups)
            except FeedGap as gap:
                raise CursorExpired(
                    "the events after this cursor are not kept any more; begin without a cursor, "
                    "and read what they would have told, such as GET /v1/duplicates"
                ) from gap
            place, found = page.begins, list[tuple[StoredEvent, FeedPlace]]()
            for event in page.events:
                if len(found) == limit:
                    break
                place = place.behind(event)
                if selection.has(event.kind):
                    found.append((event, place))
            else:
                place = page.after
            if found or len(page.events) < at_once:
                return FoundPage(found, cursor_of(place), page.oldest_at)
            after = place
            if more is not None:
                more()

    async def page_within(
        self,
        cursor: str | None,
        limit: int,
        selection: Selection,
        wait_s: float,
        is_over: Callable[[], bool],
        more: Callable[[], None] | None = None,
    ) -> FoundPage:
        """Events after a cursor; where there are none yet, those that come in so many seconds.

        Args:
            cursor: as in `page`.
            limit: most events.
            selection: of kinds.
            wait_s: longest wait.
            is_over: whether to wait no longer.
            more: as in `page`.

        Raises:
            InvalidRequest, CursorExpired: as in `page`.
        """
        clock = asyncio.get_running_loop()
        ends = clock.time() + wait_s
        found = await self.page(cursor, limit, selection, more)
        while not found.events and (left := ends - clock.time()) > 0 and not is_over():
            if await self.wait(found.cursor, selection, min(left, _SLICE_S)):
                found = await self.page(found.cursor, limit, selection, more)
        return found

    async def wait(self, cursor: str, selection: Selection, timeout_s: float) -> bool:
        """Wait until there is something behind a cursor; whether there is."""
        return await self._news.wait(_place_of(cursor), selection, timeout_s)

    async def newest(self) -> str:
        """The cursor behind all events that there are."""
        return cursor_of(await self._store.newest())


def cursor_of(place: FeedPlace) -> str:
    """The cursor that continues behind a place."""
    cursor = place.epoch
    for group, number in sorted(place.numbers.items()):
        mark = place.marks.get(group)
        cursor += f"-{group}.{number:x}" + (f".{mark}" if mark else "")
    return cursor


def _place_of(cursor: str) -> FeedPlace:
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise InvalidRequest.of_cursor()
    parts = [part.split(".") for part in found[2].split("-")[1:]]
    numbers = {group: int(number, 16) for group, number, *_ in parts}
    return FeedPlace(found[1], numbers, {part[0]: part[2] for part in parts if len(part) > 2})
