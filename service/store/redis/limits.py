"""Rate limits on Valkey or Redis.

ss:limit:<name>  when the token bucket is full again, and when that was written, in microseconds
                 since 1970 by the server's clock, with a point between, which older releases read
                 as one number; it expires when it is full, since a bucket that is not there is
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
  local known, written_at = string.match(redis.call('GET', key) or '0', '^(%d+)%.?(%d*)')
  -- A clock that was set back makes nobody wait for longer.
  local ahead = math.max(0, (tonumber(written_at) or now) - now)
  local full_at = math.max(now, tonumber(known) - ahead) + spent
  left[i] = full_at - now
  if left[i] > 0 and (spent > 0 or ahead > 0) then
    local entry = string.format('%.0f.%.0f', full_at, now)
    redis.call('SET', key, entry, 'PX', math.ceil(left[i] / 1000))
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
