"""Rate limits on Valkey or Redis.

ss:limit:<name>  when the token bucket is full again, in microseconds since 1970 by the server's
                 clock; it expires then, since a bucket that is not there is full
"""

from collections.abc import Mapping

from service.store.redis.client import Argument, RedisClient

_AT_ONCE = 500
_SETTLE = """
-- KEYS  buckets;  ARGV  microseconds that were spent of each
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local left = {}
for i, key in ipairs(KEYS) do
  local spent = tonumber(ARGV[i])
  local full_at = math.max(now, tonumber(redis.call('GET', key) or 0)) + spent
  left[i] = full_at - now
  if spent > 0 then
    redis.call('SET', key, string.format('%.0f', full_at), 'PX', math.ceil(left[i] / 1000))
  end
end
return left
"""


class RedisLimits:
    """A `LimitStore` on a Valkey or Redis server."""

    def __init__(self, client: RedisClient, prefix: str) -> None:
        """Nothing is connected before the first command.

        Args:
            client: for limits alone: no other traffic delays them.
            prefix: how every key of the server begins.
        """
        self._client = client
        self._prefix = f"{prefix}limit:"
        self._settle = client.script(_SETTLE)

    async def settle(self, spent: Mapping[str, float]) -> list[float]:
        """Add what was spent, and learn what all have spent; see `LimitStore.settle`."""
        names, found = list(spent), list[float]()
        for start in range(0, len(names), _AT_ONCE):
            part = names[start : start + _AT_ONCE]
            amounts: list[Argument] = [round(spent[name] * 1e6) for name in part]
            left: list[int] = await self._settle([self._prefix + name for name in part], amounts)
            found += [microseconds / 1e6 for microseconds in left]
        return found

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()
