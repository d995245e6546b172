"""What each replica has in memory, as it told the store lately, by the store's clock."""

import json
from collections.abc import Mapping
from typing import Any

from service.store.redis.client import RedisClient

_NOTE = """
-- KEYS  replicas;  ARGV  replica, what it has
redis.call('HSET', KEYS[1], ARGV[1], redis.call('TIME')[1] .. '|' .. ARGV[2])
"""
_FORGET = "redis.call('HDEL', KEYS[1], ARGV[1])"
_SEEN = """
-- KEYS  replicas;  ARGV  seconds
local time = redis.call('TIME')[1]
local now, found = tonumber(time), {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local at = tonumber(string.match(all[i + 1], '^%d+'))
  local held = string.match(all[i + 1], '|(.*)')
  if at > now + 1 then -- before the clock was set back: it counts from now on
    redis.call('HDEL', KEYS[1], all[i]) -- is allowed when memory is full, and HSET after it
    redis.call('HSET', KEYS[1], all[i], time .. '|' .. held)
    at = now
  end
  if now - at <= tonumber(ARGV[1]) then
    found[#found + 1] = all[i]
    found[#found + 1] = held
  elseif now - at > 3600 then
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return found
"""


class RedisPresence:
    """What replicas tell under one key; one that is silent for an hour is forgotten."""

    def __init__(self, client: RedisClient, key: str) -> None:
        """Keep it under `key`."""
        self._keys = [key]
        # What is told is told again in seconds, and is about the present alone.
        self._note = client.script(_NOTE, reads=True)
        self._seen = client.script(_SEEN, reads=True)
        self._forget = client.script(_FORGET, reads=True)

    async def note(self, replica: str, held: Mapping[str, Any]) -> None:
        """Tell what a replica has.

        Raises:
            StoreFull, StoreUnavailable: the store did not take it.
        """
        await self._note(self._keys, [replica, json.dumps(held)])

    async def forget(self, replica: str) -> None:
        """Forget a replica, which stops.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        await self._forget(self._keys, [replica])

    async def seen(self, within_s: float) -> dict[str, Any]:
        """What replicas have, of those that told it in so many seconds.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        found: list[bytes] = await self._seen(self._keys, [int(within_s)])
        held: list[Any] = [json.loads(text) for text in found[1::2]]
        return {name.decode(): one for name, one in zip(found[::2], held, strict=True)}
