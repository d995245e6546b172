"""The feed of events on Valkey or Redis.

ss:events:<group>  stream: entry `<number>-0` per event, so that a gap shows
ss:events:writes   likewise; write.lua makes an entry `<sequence>-0` per write of a streamer
ss:events:meta     hash: epoch, drawn once; number:<group>, of its last event
"""

import asyncio
import hashlib
import json
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from service.store.events import (
    MOST_KEPT,
    WRITES,
    EventPage,
    FeedGap,
    FeedPlace,
    NewEvent,
    StoredEvent,
)
from service.store.redis.client import Argument, RedisClient

_FEW = 100
"""Events that are read on the event loop, in a millisecond; more of them in a thread."""
EMIT = f"""
local function emit(stream, meta, id, kind, data, at)
  local group = string.match(kind, '^[^.]+')
  local number = string.format('%.0f', redis.call('HINCRBY', meta, 'number:' .. group, 1))
  redis.call('XADD', stream .. ':' .. group, 'MAXLEN', '~', '{MOST_KEPT}', number .. '-0',
    'id', id, 'kind', kind, 'data', data, 'at', at)
end
"""
"""A Lua function for scripts that make what happened and tell of it in one step."""
_READ = f"""
-- KEYS  events, their meta, the store's meta
-- ARGV  an epoch for a new feed, limit, then groups to read ("*": all), "", then (group, number
--       after which to begin)
-- Returns epoch, epoch of the store, and of each group: its name, the number of its last event, its
-- oldest entry, the entry after which to begin and those that come next
local epoch = redis.call('HGET', KEYS[2], 'epoch')
if not epoch then
  epoch = ARGV[1]
  redis.call('HSET', KEYS[2], 'epoch', epoch)
end
local wanted, at = {{}}, 3
while ARGV[at] ~= '' do
  wanted[ARGV[at]] = true
  at = at + 1
end
local after = {{}}
for i = at + 1, #ARGV, 2 do
  after[ARGV[i]] = ARGV[i + 1]
end
local store = redis.call('HMGET', KEYS[3], 'epoch', 'sequence')
local lasts = {{{{'{WRITES}', store[2] or '0'}}}}
local meta = redis.call('HGETALL', KEYS[2])
for i = 1, #meta, 2 do
  local group = string.match(meta[i], '^number:(.+)')
  if group then
    lasts[#lasts + 1] = {{group, meta[i + 1]}}
  end
end
local found = {{epoch, store[1] or ''}}
for _, last in ipairs(lasts) do
  local group = last[1]
  if wanted['*'] or wanted[group] then
    local stream = KEYS[1] .. ':' .. group
    local place = after[group] and after[group] .. '-0'
    found[#found + 1] = {{group, last[2], redis.call('XRANGE', stream, '-', '+', 'COUNT', 1),
      place and redis.call('XRANGE', stream, place, place) or {{}},
      redis.call('XRANGE', stream, place and '(' .. place or '-', '+', 'COUNT', ARGV[2])}}
  end
end
return found
"""


def event_arguments(events: Sequence[NewEvent]) -> list[Argument]:
    """What such a script takes for each event: id, kind, data."""
    return [part for e in events for part in (e.event_id, e.kind, e.data)]


class _Part(NamedTuple):
    """What was read of a group."""

    group: str
    last: int
    oldest_at: float | None
    seen: StoredEvent | None
    events: list[StoredEvent]

    @property
    def first(self) -> int:
        """The number of the first event that comes next, there already or not."""
        return self.events[0].number if self.events else self.last + 1


class RedisEvents:
    """An `EventStore` on a Valkey or Redis server."""

    def __init__(self, client: RedisClient, prefix: str = "ss:") -> None:
        """Read by `client` what is kept under a prefix."""
        self._client = client
        self._store = f"{prefix}meta"
        self.stream, self.meta = f"{prefix}events", f"{prefix}events:meta"
        self._read = client.script(_READ)

    async def page(
        self, after: FeedPlace | None, limit: int, groups: Collection[str] | None = None
    ) -> EventPage:
        """Events after a place; see `EventStore.page`.

        Raises:
            FeedGap: those that come next are not kept any more.
        """
        seen: Mapping[str, int] = {} if after is None else after.numbers
        epoch, parts = await self._parts(limit, ["*"] if groups is None else groups, seen)
        if after is not None and after.epoch != epoch:
            raise FeedGap("the place is of another feed", {})
        marks: Mapping[str, str] = {} if after is None else after.marks
        _check_continues(parts, seen, marks)
        begins = {part.group: part.first - 1 for part in parts}
        numbers = {**seen, **begins}
        events = list(_merged(parts, limit))
        numbers |= {event.group: event.number for event in events}
        return EventPage(
            events,
            FeedPlace(epoch, numbers, {**marks, **{e.group: e.mark for e in events}}),
            FeedPlace(epoch, {**seen, **begins}, marks),
            {part.group: part.oldest_at for part in parts},
        )

    async def newest(self) -> FeedPlace:
        """The place after the newest event of every group."""
        epoch, parts = await self._parts(1, ["*"], {})
        return FeedPlace(epoch, {part.group: part.last for part in parts})

    async def _parts(
        self, limit: int, groups: Collection[str], seen: Mapping[str, int]
    ) -> tuple[str, list[_Part]]:
        after = [part for pair in seen.items() for part in pair]
        epoch, store, *found = await self._read(
            [self.stream, self.meta, self._store],
            [secrets.token_hex(4), limit, *groups, "", *after],
        )

        def parts() -> list[_Part]:
            return [
                _Part(
                    group.decode(),
                    int(last),
                    _event(group.decode(), store, *oldest[0]).at if oldest else None,
                    _event(group.decode(), store, *place[0]) if place else None,
                    [_event(group.decode(), store, *entry) for entry in entries],
                )
                for group, last, oldest, place, entries in found
            ]

        return epoch.decode(), parts() if limit <= _FEW else await asyncio.to_thread(parts)


def _check_continues(
    parts: Sequence[_Part], seen: Mapping[str, int], marks: Mapping[str, str]
) -> None:
    """That nothing is missing between what was seen and what comes next."""
    known = [(part, seen[part.group]) for part in parts if part.group in seen]
    if any(number > part.last for part, number in known):
        raise FeedGap("the place is of another feed", {})
    # A store that failed over may have lost what was seen, and given its number again.
    if any(p.seen is not None and marks.get(p.group, p.seen.mark) != p.seen.mark for p in parts):
        raise FeedGap("the place is of another feed", {})
    missed = {part.group: part.first - 1 - n for part, n in known if part.first - 1 > n}
    if missed:
        raise FeedGap(f"events are not kept any more: {missed}", missed)


def _merged(parts: Sequence[_Part], limit: int) -> Iterator[StoredEvent]:
    """The first events of all groups, each group in its order, by time between groups.

    A clock that was set back changes the order between groups, and loses nothing.
    """
    heads = {part.group: part.events[::-1] for part in parts if part.events}
    for _ in range(limit):
        if not heads:
            return
        group = min(heads, key=lambda name: (heads[name][-1].at, name != WRITES, name))
        yield heads[group].pop()
        if not heads[group]:
            del heads[group]


def _event(group: str, store_epoch: bytes, key: bytes, fields: Sequence[bytes]) -> StoredEvent:
    named: dict[bytes, bytes] = dict(zip(fields[::2], fields[1::2], strict=True))
    number, at = int(key.split(b"-")[0]), int(named[b"at"]) / 1000
    mark = hashlib.sha256(b"%s %s" % (named[b"id"], named[b"at"])).hexdigest()[:6]
    if group != WRITES:
        event_id, kind = named[b"id"].decode(), named[b"kind"].decode()
        return StoredEvent(event_id, kind, named[b"data"], group, number, at, mark)
    data: dict[str, Any] = {"streamer_id": named[b"id"].decode(), "version": number}
    if named[b"did"] != b"deleted":
        data["created"] = named[b"did"] == b"created"
    kind = "streamer.deleted" if named[b"did"] == b"deleted" else "streamer.upserted"
    digest = hashlib.sha256(b"%s\n%s %d" % (kind.encode(), store_epoch, number)).hexdigest()
    body = json.dumps(data).encode()
    return StoredEvent(f"evt-{digest[:24]}", kind, body, group, number, at, mark)
