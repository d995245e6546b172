"""The feed of events, read by an opaque cursor."""

import re
from collections.abc import Sequence

from service.errors import CursorExpired, InvalidRequest
from service.store.events import EventStore, FeedGap, FeedPlace, StoredEvent

_CURSOR = re.compile(r"([0-9a-f]{8})-([0-9a-f]{1,14})")


class Events:
    """The use-case behind `GET /v1/events`."""

    def __init__(self, store: EventStore) -> None:
        """Read what `store` keeps."""
        self._store = store

    async def page(self, cursor: str | None, limit: int) -> tuple[Sequence[StoredEvent], str]:
        """Events after a cursor, None = from the oldest that is kept; and the next cursor.

        Raises:
            InvalidRequest: the cursor is none that this service gave.
            CursorExpired: the events after it are not kept any more.
        """
        after = None
        if cursor is not None:
            found = _CURSOR.fullmatch(cursor)
            if found is None:
                raise InvalidRequest.of_parameter(
                    "cursor", "is not a cursor that this service gave"
                )
            after = FeedPlace(found[1], int(found[2], 16))
        try:
            page = await self._store.page(after, limit)
        except FeedGap as gap:
            raise CursorExpired(
                "the events after this cursor are not kept any more; begin without a cursor, and "
                "read what they would have told, such as GET /v1/duplicates"
            ) from gap
        return page.events, f"{page.after.epoch}-{page.after.number:x}"
