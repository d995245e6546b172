"""API keys on Valkey or Redis.

ss:keys       hash: JSON of a `KeyRecord` by key id
ss:keys:used  sorted set: key id by the time of its last use
ss:meta       hash: keys_mark, drawn at random at each change of a key
"""

import secrets
from collections.abc import Mapping, Sequence

from service.store.redis.client import Argument, RedisClient

_REPLACE = """
-- KEYS  keys, uses, meta;  ARGV  key id, record before, record after (empty: none), new mark,
--       present mark (empty: any)
local before = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if before ~= ARGV[2] then
  return 0
end
if ARGV[5] ~= '' and redis.call('HGET', KEYS[3], 'keys_mark') ~= ARGV[5] then
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
return 1
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
        self._meta = f"{prefix}meta"
        self._replace = client.script(_REPLACE)

    async def mark(self) -> str:
        """Another text after each change; empty as long as there has never been a key."""
        mark: bytes | None = await self._client.ask("HGET", self._meta, "keys_mark")
        return (mark or b"").decode()

    async def all(self) -> dict[str, bytes]:
        """Every record as it is stored, by key id."""
        found: dict[bytes, bytes] = await self._client.ask("HGETALL", self._keys)
        return {key_id.decode(): record for key_id, record in found.items()}

    async def get(self, key_id: str) -> bytes:
        """A record as it is stored; empty if there is none."""
        return await self._client.ask("HGET", self._keys, key_id) or b""

    async def replace(self, key_id: str, before: bytes, after: bytes, mark: str = "") -> bool:
        """Write a record if the stored one is still `before`; see `KeyStore.replace`."""
        keys = [self._keys, self._used, self._meta]
        return bool(await self._replace(keys, [key_id, before, after, secrets.token_hex(8), mark]))

    async def note_used(self, times: Mapping[str, float]) -> None:
        """Record when keys were used; an earlier time than is known changes nothing."""
        if times:
            pairs = [part for key_id, time in times.items() for part in (str(time), key_id)]
            await self._client.ask("ZADD", self._used, "GT", *pairs)

    async def last_used(self, key_ids: Sequence[str]) -> list[float | None]:
        """When keys were used last; None = not yet."""
        if not key_ids:
            return []
        found: list[bytes | None] = await self._client.ask("ZMSCORE", self._used, *key_ids)
        return [None if time is None else float(time) for time in found]

    async def restore(self, records: Mapping[str, bytes]) -> None:
        """Replace all keys by those of a backup."""
        commands: list[list[Argument]] = [["DEL", self._keys, self._used]]
        if records:
            pairs = [part for pair in records.items() for part in pair]
            commands.append(["HSET", self._keys, *pairs])
        commands.append(["HSET", self._meta, "keys_mark", secrets.token_hex(8)])
        await self._client.ask_together(commands)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()
