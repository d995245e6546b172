"""The feed of events on Valkey or Redis.

ss:events        stream: entry `<number>-0` per event, so that a gap shows
ss:events:meta   hash: epoch, drawn once; number, of the last event
"""

import secrets
from collections.abc import Mapping, Sequence

from service.store.events import EventPage, FeedGap, FeedPlace, NewEvent, StoredEvent
from service.store.redis.client import Argument, RedisClient

EMIT = """
local function emit(stream, meta, id, kind, data, at)
  local number = string.format('%.0f', redis.call('HINCRBY', meta, 'number', 1))
  redis.call('XADD', stream, 'MAXLEN', '~', '100000', number .. '-0',
    'id', id, 'kind', kind, 'data', data, 'at', at)
end
"""
"""A Lua function for scripts that make what happened and tell of it in one step."""


def event_arguments(events: Sequence[NewEvent]) -> list[Argument]:
    """What such a script takes for each event: id, kind, data."""
    return [part for e in events for part in (e.event_id, e.kind, e.data)]


class RedisEvents:
    """An `EventStore` on a Valkey or Redis server."""

    def __init__(self, client: RedisClient, prefix: str = "ss:") -> None:
        """Read by `client` what is kept under a prefix."""
        self._client = client
        self.stream, self.meta = f"{prefix}events", f"{prefix}events:meta"

    async def page(self, after: FeedPlace | None, limit: int) -> EventPage:
        """Events after a place; see `EventStore.page`.

        Raises:
            FeedGap: those that come next are not kept any more.
        """
        start = "-" if after is None else f"({after.number}-0"
        (epoch, last), found = await self._client.ask_together(
            [
                ("HMGET", self.meta, "epoch", "number"),
                ("XRANGE", self.stream, start, "+", "COUNT", limit),
            ]
        )
        if epoch is None:
            await self._client.ask("HSETNX", self.meta, "epoch", secrets.token_hex(4))
            return await self.page(after, limit)
        events = [_event(key, fields) for key, fields in found]
        place = FeedPlace(epoch.decode(), events[-1].number if events else int(last or 0))
        if after is None:
            return EventPage(events, place)
        if after.epoch != place.epoch or after.number > int(last or 0):
            raise FeedGap("the place is of another feed")
        first = events[0].number if events else int(last or 0) + 1
        if first != after.number + 1:
            raise FeedGap(f"the feed goes on at {first}, not at {after.number + 1}")
        return EventPage(events, place)


def _event(key: bytes, fields: Mapping[bytes, bytes]) -> StoredEvent:
    return StoredEvent(
        fields[b"id"].decode(),
        fields[b"kind"].decode(),
        fields[b"data"],
        int(key.split(b"-")[0]),
        int(fields[b"at"]) / 1000,
    )
