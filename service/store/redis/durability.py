"""Whether a server keeps what it acknowledges, and how its numbers go on where it did not."""

import secrets

from redis.exceptions import ResponseError

from service.store.events import WRITES
from service.store.redis.client import CommandRefused, RedisClient

ALWAYS = "always"
_COUNT_ON = """
-- KEYS  the meta of the store and of events, the events of writes
-- ARGV  a sequence number, an epoch
if tonumber(redis.call('HGET', KEYS[1], 'sequence') or '0') < tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'sequence', ARGV[1], 'epoch', ARGV[2])
  redis.call('HDEL', KEYS[1], 'mark')
  -- Readers may have seen what is lost, and those that are left end before the number.
  redis.call('HDEL', KEYS[2], 'epoch')
  redis.call('DEL', KEYS[3])
end
"""


async def find_durability(client: RedisClient) -> str:
    """Tell "always", or what may be lost and how, for people.

    Raises:
        StoreUnavailable: the server does not answer.
    """
    try:
        fsync = await _setting(client, "appendfsync")
        log = await _setting(client, "appendonly")
        policy = await _setting(client, "maxmemory-policy")
        memory = await _setting(client, "maxmemory")
        rewrite = await _setting(client, "no-appendfsync-on-rewrite")
    except (ResponseError, CommandRefused) as error:
        return f"unknown: the server does not show its configuration ({error})"
    if log != "yes":
        return f"none: appendonly is {log}, so a restart of the server may lose everything"
    if memory != "0" and policy != "noeviction":
        return f"evicting: maxmemory-policy is {policy}, so streamers vanish when memory is full"
    if fsync != ALWAYS:
        return f"{fsync}: appendfsync is not always, so a crash may lose the last writes"
    if rewrite == "yes":
        return (
            "mostly: no-appendfsync-on-rewrite is yes, so a crash during a rewrite may lose writes"
        )
    return ALWAYS


def is_durable(found: str) -> bool | None:
    """Whether nothing may be lost, by what was told; None if the server did not show it."""
    return None if found.startswith("unknown") else found == ALWAYS


async def _setting(client: RedisClient, name: str) -> str:
    return str((await client.ask("CONFIG GET", name))[name])


async def run_id(client: RedisClient) -> bytes:
    """A name of the server's present run."""
    return str((await client.ask("INFO", "server"))["run_id"]).encode()


async def count_on(client: RedisClient, prefix: str, sequence: int) -> None:
    """Have a store that ends before a number go on behind it, as another history.

    Callers have seen the numbers of the writes that it lost, as versions and to wait for: with
    another meaning none may come again. The feed of events is another one too, without the events
    of earlier writes.

    Args:
        client: of the store.
        prefix: how its keys begin.
        sequence: the number; a store that ends there or later is left as it is.

    Raises:
        StoreFull, StoreUnavailable: nothing was changed, as far as is known.
    """
    keys = [f"{prefix}meta", f"{prefix}events:meta", f"{prefix}events:{WRITES}"]
    await client.script(_COUNT_ON)(keys, [sequence, secrets.token_hex(16)])
