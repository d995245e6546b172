"""Groups of duplicates on Valkey or Redis; a script makes every change of them.

ss:duplicates:state         hash: token, owner, until (ms) of the lease, and from when it was
                            given; step; epoch, sequence, mark; rules
ss:duplicates:groups        hash: JSON of a `GroupRecord` by group id, for ever
ss:duplicates:of            hash: group id by streamer
ss:duplicates:members:<id>  sorted set, each with score 0: streamers of a group
ss:duplicates:edges         sorted set, each with score 0: "<streamer> <other> <weight> <kind>",
                            each edge from both ends
ss:duplicates:size          sorted set, each with score 0: "<size, complemented> <group id>": in
                            byte order the largest comes first
ss:duplicates:newest        likewise by when a group was changed last
ss:duplicates:pending       sorted set, each with score 0: streamers that have to be compared again
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Container, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Literal, cast

from pydantic import TypeAdapter

from service.store.base import Position
from service.store.duplicates import (
    Commit,
    EdgeRecord,
    GroupChange,
    GroupRecord,
    Kept,
    NotTheEvaluator,
    StepsLost,
)
from service.store.redis.client import Argument, RedisClient
from service.store.redis.duplicates.judgements import RedisJudgements
from service.store.redis.events.feed import EMIT, RedisEvents, event_arguments

_COMMIT = Path(__file__).with_name("commit.lua").read_text(encoding="utf-8")
_CLAIM = """
-- KEYS  state;  ARGV  owner, lease (ms), "1" = take it from whoever has it
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local known = redis.call('HMGET', KEYS[1], 'owner', 'until', 'token', 'from')
local from, ends = string.format('%.0f', now), string.format('%.0f', now + tonumber(ARGV[2]))
if known[1] == ARGV[1] and ARGV[3] ~= '1' then
  redis.call('HSET', KEYS[1], 'until', ends, 'from', from)
  return tonumber(known[3])
end
if ARGV[3] ~= '1' and known[1] and known[1] ~= '' then
  -- A lease that began later than now, by a clock that was set back since, begins now: whoever has
  -- it and lives gives a sign in time.
  local ahead = math.max(0, (tonumber(known[4]) or now) - now)
  if ahead > 0 then
    local nearer = string.format('%.0f', tonumber(known[2]) - ahead)
    redis.call('HSET', KEYS[1], 'until', nearer, 'from', from)
  end
  if tonumber(known[2]) - ahead > now then
    return 0
  end
end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'until', ends, 'from', from)
return redis.call('HINCRBY', KEYS[1], 'token', 1)
"""
_RENEW = """
-- KEYS  state;  ARGV  token, lease (ms; 0: let others have it)
local known = redis.call('HMGET', KEYS[1], 'token', 'owner')
if known[1] ~= ARGV[1] or known[2] == '' then
  return 0
end
if ARGV[2] == '0' then
  redis.call('HSET', KEYS[1], 'owner', '')
  return 1
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local from, ends = string.format('%.0f', now), string.format('%.0f', now + tonumber(ARGV[2]))
redis.call('HSET', KEYS[1], 'until', ends, 'from', from)
return 1
"""
_REPLACE = """
-- KEYS  groups;  ARGV  id of one, its record as it was read, as it is to be
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""
_RECORD = TypeAdapter(GroupRecord)
_CHUNK = 2000
"""Entries that are read at once: some 5 ms of the event loop."""
_RECORDS = 200
"""Records of groups that are looked into at once; each may name a hundred members."""
_FEW = 50
"""Edges of a streamer; each takes microseconds."""
_ASKED_AT_ONCE, _ASKED_FOR_MANY = 64, 8
"""Streamers of whom few edges are read at once, and of whom more are, with others in between."""
_AT_ONCE = 500
"""Parts of one command; Lua takes some 8,000."""
_LARGEST, _LATEST = 10**9, 10**14


class RedisGroups:
    """A `GroupStore` on a Valkey or Redis server."""

    def __init__(
        self,
        client: RedisClient,
        judgements: RedisJudgements,
        events: RedisEvents,
        prefix: str = "ss:",
    ) -> None:
        """Keep groups by `client`, under a prefix, beside judgements and events."""
        base = f"{prefix}duplicates:"
        self._client = client
        self._state, self._groups, self._of = f"{base}state", f"{base}groups", f"{base}of"
        self._members, self._edges = f"{base}members:", f"{base}edges"
        self._size, self._newest = f"{base}size", f"{base}newest"
        self._pending = f"{base}pending"
        self._shared = [self._state, events.stream, events.meta, judgements.news_key]
        self._claim, self._renew = client.script(_CLAIM), client.script(_RENEW)
        self._commit, self._replace = client.script(EMIT + _COMMIT), client.script(_REPLACE)

    async def claim(self, owner: str, lease_s: float, *, force: bool = False) -> int | None:
        """Become the one who evaluates, or stay it; see `GroupStore.claim`."""
        arguments: list[Argument] = [owner, round(lease_s * 1000), "1" if force else ""]
        return int(await self._claim([self._state], arguments)) or None

    async def renew(self, token: int, lease_s: float) -> None:
        """Make a lease last longer.

        Raises:
            NotTheEvaluator: another process has it by now.
        """
        if not await self._renew([self._state], [token, round(lease_s * 1000)]):
            raise NotTheEvaluator("another process evaluates the log by now")

    async def release(self, token: int) -> None:
        """Let others evaluate at once."""
        await self._renew([self._state], [token, 0])

    async def is_evaluated(self) -> bool:
        """Whether some process has the lease; one that died has it for some seconds more."""
        owner, until = await self._client.ask("HMGET", self._state, "owner", "until")
        seconds, _ = await self._client.ask("TIME")
        return bool(owner) and int(until) > seconds * 1000

    async def commit(self, token: int, step: int, commit: Commit) -> None:
        """Write in one step, once; see `GroupStore.commit`.

        Raises:
            NotTheEvaluator: the lease is another one's; nothing was written.
            StepsLost: the step before is not stored.
        """
        packed = await asyncio.to_thread(self._packed, token, step, commit)
        done = int(await self._commit(*packed))
        if done < 0:
            raise StepsLost(f"the store does not have step {step - 1}, which it acknowledged")
        if not done:
            raise NotTheEvaluator("another process evaluates the log by now")

    async def load(self) -> Kept:
        """All that is kept, without judgements; see `GroupStore.load`."""
        edges: list[EdgeRecord] = []
        async for entries in self._sorted(self._edges):
            edges += [edge for edge, is_forward in map(_edge, entries) if is_forward]
        groups: dict[str, GroupRecord] = {}
        after: str | None = ""
        while after is not None:  # not those that ended: there are more and more of them
            records, after = await self.page("size", after, _CHUNK)
            groups |= {record.group_id: record for record in records}
        members: dict[str, dict[str, None]] = {}  # a scan may name one twice
        async for part in self._hash(self._of):
            for streamer_id, name in part.items():
                members.setdefault(name.decode(), {})[streamer_id.decode()] = None
        pending = [name.decode() async for part in self._sorted(self._pending) for name in part]
        step = int(await self._client.ask("HGET", self._state, "step") or 0)
        return Kept(await self.position(), step, edges, groups, members, pending)

    async def get(self, group_id: str) -> GroupRecord | None:
        """A group, live or not."""
        found: bytes | None = await self._client.ask("HGET", self._groups, group_id)
        return None if found is None else _RECORD.validate_json(found)

    async def forget(self, streamer_id: str, among: Sequence[str] | None = None) -> None:
        """Take a streamer out of records; see `GroupStore.forget`."""
        quoted = json.dumps(streamer_id).encode()

        def keeps(member: str) -> bool:
            return member != streamer_id

        if among is not None:
            for name in among:
                row: bytes | None = await self._client.ask("HGET", self._groups, name)
                if row is not None and quoted in row:
                    await self._reduce(name.encode(), row, keeps)
            return
        async for part in self._hash(self._groups):
            for key, read in part.items():
                if quoted in read:
                    await self._reduce(key, read, keeps)

    async def forget_others(self, stored: Container[str]) -> None:
        """Take streamers that are not stored out of records; see `GroupStore.forget_others`."""
        async for part in self._hash(self._groups, _RECORDS):
            for key, read in part.items():
                await self._reduce(key, read, stored.__contains__)

    async def _reduce(self, name: bytes, read: bytes, keeps: Callable[[str], bool]) -> None:
        """Take members out of the record of a group, unless it is a live one."""
        row: bytes | None = read
        while row is not None:
            record = _RECORD.validate_json(row)
            known = record.members or ()  # none of a live one, until its evaluation
            members = tuple(member for member in known if keeps(member))
            if members == known:
                return
            after = json.dumps(asdict(replace(record, members=members)))
            if await self._replace([self._groups], [name, row, after]):
                return
            row = await self._client.ask("HGET", self._groups, name)

    async def groups_of(self, streamer_ids: Sequence[str]) -> list[str | None]:
        """Ids of the live groups that streamers are in."""
        if not streamer_ids:
            return []
        found: list[bytes | None] = await self._client.ask("HMGET", self._of, *streamer_ids)
        return [None if name is None else name.decode() for name in found]

    async def members(self, group_id: str, after: str, limit: int) -> list[str]:
        """Members in byte order; see `GroupStore.members`."""
        found: list[bytes] = await self._client.ask(
            *("ZRANGEBYLEX", self._members + group_id, f"({after}" if after else "-", "+"),
            *("LIMIT", 0, limit),
        )
        return [name.decode() for name in found]

    async def members_of(self, group_ids: Sequence[str], most: int) -> list[tuple[list[str], int]]:
        """Members of several groups; see `GroupStore.members_of`."""
        keys = [self._members + group_id for group_id in group_ids]
        members = await self._client.ask_all([("ZRANGE", key, 0, most - 1) for key in keys])
        sizes = await self._client.ask_all([("ZCARD", key) for key in keys])
        return [
            ([name.decode() for name in names], int(size))
            for names, size in zip(members, sizes, strict=True)
        ]

    async def edges_of(self, streamer_ids: Sequence[str], most: int) -> list[list[EdgeRecord]]:
        """Edges of each streamer; see `GroupStore.edges_of`."""
        found: list[list[EdgeRecord]] = []
        at_once = _ASKED_AT_ONCE if most <= _FEW else _ASKED_FOR_MANY
        part = min(most, _AT_ONCE)
        for start in range(0, len(streamer_ids), at_once):
            names = streamer_ids[start : start + at_once]
            asked = [("ZRANGEBYLEX", self._edges, *_edges_from(i, None), part) for i in names]
            for name, row in zip(names, await self._client.ask_all(asked), strict=True):
                edges = [edge for edge, _ in map(_edge, row)]
                while len(row) == part and len(edges) < most:  # all at once keep the event loop
                    bounds, left = _edges_from(name, row[-1]), min(part, most - len(edges))
                    row = await self._client.ask("ZRANGEBYLEX", self._edges, *bounds, left)
                    edges += [edge for edge, _ in map(_edge, row)]
                found.append(edges)
                if len(edges) > _FEW:
                    await asyncio.sleep(0)
        return found

    async def page(
        self, order: Literal["size", "newest"], after: str, limit: int
    ) -> tuple[list[GroupRecord], str | None]:
        """Live groups; see `GroupStore.page`."""
        key = self._size if order == "size" else self._newest
        found: list[bytes] = await self._client.ask(
            "ZRANGEBYLEX", key, f"({after}" if after else "-", "+", "LIMIT", 0, limit
        )
        if not found:
            return [], None
        ids = [entry.decode().split(" ")[1] for entry in found]
        rows: list[bytes | None] = await self._client.ask("HMGET", self._groups, *ids)
        records = [_RECORD.validate_json(row) for row in rows if row is not None]
        return records, found[-1].decode() if len(found) == limit else None

    async def position(self) -> Position | None:
        """Up to where the log is evaluated."""
        epoch, sequence, mark = await self._client.ask(
            "HMGET", self._state, "epoch", "sequence", "mark"
        )
        if epoch is None:
            return None
        return Position(epoch.decode(), int(sequence), (mark or b"").decode())

    async def rules(self) -> str | None:
        """By which rules all streamers are compared."""
        found: bytes | None = await self._client.ask("HGET", self._state, "rules")
        return None if found is None else found.decode()

    async def _hash(
        self, key: str, at_once: int = _CHUNK
    ) -> AsyncGenerator[dict[bytes, bytes], None]:
        """All of a hash, in parts that others need not wait for."""
        cursor = 0
        while True:
            cursor, part = await self._client.ask("HSCAN", key, cursor, "COUNT", at_once)
            yield cast(dict[bytes, bytes], part)
            if not int(cursor):
                return

    async def _sorted(self, key: str) -> AsyncGenerator[list[bytes], None]:
        """All of a sorted set whose scores are 0, in parts that others need not wait for."""
        start = "-"
        while found := cast(
            list[bytes],
            await self._client.ask("ZRANGEBYLEX", key, start, "+", "LIMIT", 0, _CHUNK),
        ):
            start = f"({found[-1].decode()}"
            yield found

    def _packed(self, token: int, step: int, commit: Commit) -> tuple[list[str], list[Argument]]:
        """Keys and arguments of the script that commits; of many members it takes long."""
        place, commands = commit.position, list(self._commands(commit))
        arguments: list[Argument] = [
            *(token, step),
            *(("", "", "") if place is None else (place.epoch, place.sequence, place.mark)),
            *("" if commit.judged is None else commit.judged, commit.rules or ""),
            # One argument: the client packs each on the event loop.
            f"[{','.join(map(json.dumps, commands))}]",
            *event_arguments(commit.events),
        ]
        keys = dict.fromkeys([*self._shared, *(str(command[1]) for command in commands)])
        return list(keys), arguments

    def _commands(self, commit: Commit) -> Iterator[Sequence[str | int]]:
        forget = [*commit.removed, *((e.a, e.b) for e in commit.edges)]
        for a, b in forget:
            for one, other in ((a, b), (b, a)):
                yield "ZREMRANGEBYLEX", self._edges, f"[{one} {other} ", f"({one} {other}!"
        entries = [
            part
            for e in commit.edges
            for one, other in ((e.a, e.b), (e.b, e.a))
            for part in (0, f"{one} {other} {e.weight!r} {e.kind}")
        ]
        for part in _parts(entries):
            yield "ZADD", self._edges, *part
        for names in _parts(commit.pending):
            yield "ZADD", self._pending, *(part for name in names for part in (0, name))
        for names in _parts(commit.compared):
            yield "ZREM", self._pending, *names
        for change in commit.groups:
            yield from self._group(change)
        # Who changes from one group to another leaves first.
        for change in commit.groups:
            name = change.after.group_id
            for joined in _parts(change.joined):
                yield "HSET", self._of, *(part for member in joined for part in (member, name))
                yield "ZADD", self._members + name, *(part for m in joined for part in (0, m))

    def _group(self, change: GroupChange) -> Iterator[Sequence[str | int]]:
        before, after = change.before, change.after
        name = after.group_id
        if before is not None and before.state == "live":
            yield "ZREM", self._size, f"{_LARGEST - before.size:010} {name}"
            yield "ZREM", self._newest, f"{_LATEST - round(before.updated_at * 1000):015} {name}"
        yield "HSET", self._groups, name, json.dumps(asdict(after))
        if after.state == "live":
            yield "ZADD", self._size, 0, f"{_LARGEST - after.size:010} {name}"
            yield "ZADD", self._newest, 0, f"{_LATEST - round(after.updated_at * 1000):015} {name}"
        for left in _parts(change.left):
            yield "HDEL", self._of, *left
            yield "ZREM", self._members + name, *left


def _parts(items: Sequence[str | int]) -> Iterator[list[str | int]]:
    rest = iter(items)
    while part := list(islice(rest, _AT_ONCE)):
        yield part


def _edges_from(streamer_id: str, last: bytes | None) -> tuple[str | bytes, str, str, int]:
    """What asks for edges of a streamer, after one of them, or from the first on."""
    begin = f"[{streamer_id} " if last is None else b"(" + last
    return begin, f"({streamer_id}!", "LIMIT", 0


def _edge(entry: bytes) -> tuple[EdgeRecord, bool]:
    """An edge, and whether it is kept from its lower end here."""
    one, other, weight, kind = entry.decode().split(" ")
    if one < other:
        return EdgeRecord(one, other, float(weight), kind), True
    return EdgeRecord(other, one, float(weight), kind), False
