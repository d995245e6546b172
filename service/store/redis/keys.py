"""API keys on Valkey or Redis.

ss:keys          hash: JSON of a `KeyRecord` by key id
ss:keys:used     sorted set: key id by the time of its last use
ss:keys:changes  list of the last changes, the newest first: "mark after, mark before, key id"
ss:keys:once:<k> what a request that is carried out once did, for a day: "key id fingerprint"
ss:meta          hash: keys_mark, drawn at random at each change of a key
"""

import secrets
from collections.abc import Mapping, Sequence

from service.store.keys import KeyChanges, Look
from service.store.once import REMEMBERED_S, Once
from service.store.redis.client import Argument, RedisClient

KEPT = 1000
"""Changes that are told one by one; who has missed more reads all keys."""
_REPLACE = """
-- KEYS  keys, uses, meta, changes, what the request did before (any key for one without a name)
-- ARGV  key id, record before, record after (empty: none), new mark, present mark (empty: any),
--       changes to keep, fingerprint of the request (empty: it has no name), seconds to remember it
if ARGV[7] ~= '' and redis.call('EXISTS', KEYS[5]) == 1 then
  return 0
end
local before = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if before ~= ARGV[2] then
  return 0
end
local mark = redis.call('HGET', KEYS[3], 'keys_mark') or ''
if ARGV[5] ~= '' and mark ~= ARGV[5] then
  return 0
end
if ARGV[3] == '' then
  -- HDEL goes first: it is allowed when memory is full, and what follows it in a script then too.
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
redis.call('HSET', KEYS[3], 'keys_mark', ARGV[4])
redis.call('LPUSH', KEYS[4], ARGV[4] .. ' ' .. mark .. ' ' .. ARGV[1])
redis.call('LTRIM', KEYS[4], 0, ARGV[6] - 1)
if ARGV[7] ~= '' then
  redis.call('SET', KEYS[5], ARGV[1] .. ' ' .. ARGV[7], 'EX', ARGV[8])
end
return 1
"""
_SINCE = """
-- KEYS  keys, meta, changes;  ARGV  mark
-- Returns the present mark, then id and record (empty: revoked) of each key that has changed since
-- the given one; nothing where that is not known, as when an older release has changed some too.
local mark = redis.call('HGET', KEYS[2], 'keys_mark') or ''
local found, seen = {mark}, {}
for _, change in ipairs(redis.call('LRANGE', KEYS[3], 0, -1)) do
  local after, before, id = string.match(change, '^(%S*) (%S*) (%S*)$')
  if mark == ARGV[1] or after ~= mark then
    break
  end
  mark = before
  if not seen[id] then
    seen[id] = true
    found[#found + 1] = id
    found[#found + 1] = redis.call('HGET', KEYS[1], id) or ''
  end
end
return mark == ARGV[1] and found
"""


_NOTE_USED = """
-- KEYS  uses;  ARGV  pairs of a time and a key id
-- A service whose clock is ahead, or was, notes no use that is still to come.
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
for i = 1, #ARGV, 2 do
  local at = math.min(tonumber(ARGV[i]), now)
  local known = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i + 1]) or 0)
  if at > known or known > now then
    redis.call('ZADD', KEYS[1], string.format('%.17g', at), ARGV[i + 1])
  end
end
"""


class RedisKeys:
    """A `KeyStore` on a Valkey or Redis server."""

    def __init__(self, client: RedisClient, prefix: str) -> None:
        """Nothing is connected before the first command.

        Args:
            client: for keys alone: what others do must not delay a revocation.
            prefix: how every key of the server begins.
        """
        self._client = client
        self._keys, self._used = f"{prefix}keys", f"{prefix}keys:used"
        self._meta, self._changes = f"{prefix}meta", f"{prefix}keys:changes"
        self._once = f"{prefix}keys:once:"
        self._replace = client.script(_REPLACE)
        self._since = client.script(_SINCE, reads=True)
        # Missing replicas must not have it wait in the place of a revocation.
        self._note_used = client.script(_NOTE_USED, reads=True)

    async def look(self) -> Look:
        """Whether keys have changed, and the server's time."""
        mark: bytes | None
        mark, time = await self._client.ask_all([("HGET", self._meta, "keys_mark"), ("TIME",)])
        return Look((mark or b"").decode(), int(time[0]) + int(time[1]) / 1e6)

    async def all(self) -> dict[str, bytes]:
        """Every record as it is stored, by key id."""
        found: dict[bytes, bytes] = await self._client.ask("HGETALL", self._keys)
        return {key_id.decode(): record for key_id, record in found.items()}

    async def since(self, mark: str) -> KeyChanges | None:
        """What has changed since the store had a mark; None where that is too long ago."""
        keys = [self._keys, self._meta, self._changes]
        found: list[bytes] | None = await self._since(keys, [mark])
        if found is None:
            return None
        ids = [key_id.decode() for key_id in found[1::2]]
        return KeyChanges(found[0].decode(), dict(zip(ids, found[2::2], strict=True)))

    async def get(self, key_id: str) -> bytes:
        """A record as it is stored; empty if there is none."""
        return await self._client.ask("HGET", self._keys, key_id) or b""

    async def made(self, once: Once) -> str:
        """What an earlier request with this name made or rotated; see `KeyStore.made`."""
        found: bytes | None = await self._client.ask("GET", self._once + once.key, confirmed=True)
        key_id, _, fingerprint = (found or b"").decode().partition(" ")
        if found is not None:
            once.check(once.key + fingerprint)
        return key_id

    async def replace(
        self, key_id: str, before: bytes, after: bytes, mark: str = "", once: Once | None = None
    ) -> bool:
        """Write a record if the stored one is still `before`; see `KeyStore.replace`."""
        name, fingerprint = ("", "") if once is None else (once.key, once.fingerprint)
        keys = [self._keys, self._used, self._meta, self._changes, self._once + name]
        new = secrets.token_hex(8)
        terms = [key_id, before, after, new, mark, KEPT, fingerprint, REMEMBERED_S]
        return bool(await self._replace(keys, terms))

    async def note_used(self, times: Mapping[str, float]) -> None:
        """Record when keys were used; an earlier time than is known changes nothing."""
        if times:
            pairs = [part for key_id, time in times.items() for part in (str(time), key_id)]
            await self._note_used([self._used], pairs)

    async def last_used(self, key_ids: Sequence[str]) -> list[float | None]:
        """When keys were used last; None = not yet."""
        if not key_ids:
            return []
        found: list[bytes | None] = await self._client.ask("ZMSCORE", self._used, *key_ids)
        return [None if time is None else float(time) for time in found]

    async def restore(self, records: Mapping[str, bytes]) -> None:
        """Replace all keys by those of a backup."""
        commands: list[list[Argument]] = [["DEL", self._keys, self._used, self._changes]]
        if records:
            pairs = [part for pair in records.items() for part in pair]
            commands.append(["HSET", self._keys, *pairs])
        commands.append(["HSET", self._meta, "keys_mark", secrets.token_hex(8)])
        await self._client.ask_together(commands)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()
