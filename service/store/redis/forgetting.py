"""Removes what the store's log has of a streamer."""

from redis.exceptions import ResponseError

from service.store.redis.client import CommandRefused, RedisClient
from service.store.redis.codec import to_log_entry

_ENTRIES = 1000
"""Of the log that are read at a time."""


async def forget(client: RedisClient, log: str, streamer_id: str, before: int) -> int:
    """Remove the entries of a streamer that have vectors.

    Args:
        client: of the server.
        log: key of the stream.
        streamer_id: whose entries go.
        before: only entries with a lower sequence number.

    Returns:
        How many were removed.

    Raises:
        StoreUnavailable: the server does not answer.
    """
    start, removed = "-", 0
    while entries := await client.ask("XRANGE", log, start, f"({before}-0", "COUNT", _ENTRIES):
        old = [to_log_entry(key, fields) for key, fields in entries]
        found = [f"{e.sequence}-0" for e in old if e.streamer_id == streamer_id and e.entry]
        if found:
            removed += await client.ask("XDEL", log, *found)
        start = f"({old[-1].sequence}-0"
    return removed


async def rewrite_files(client: RedisClient) -> bool:
    """Have the server drop removed bytes from its files; False if that can't begin."""
    try:
        await client.ask("BGREWRITEAOF")
    except (CommandRefused, ResponseError):  # no right to, or one is under way
        return False
    return True
