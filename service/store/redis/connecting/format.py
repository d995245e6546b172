"""The format of all that is kept in a store, so that no release works on what it does not know.

It is a field of `ss:meta`. A store without it was written by a release before format 1.
"""

from service.errors import NewerStore
from service.store.redis.client import RedisClient

FORMAT = 1
"""What this release writes. It is raised with each change that an earlier release would misread, or
drop when it writes again."""
_FIELD = "format"
_RAISE = f"""
-- KEYS  meta
-- ARGV  a format
-- Returns the format of the store, which is never lowered.
local kept = redis.call('HGET', KEYS[1], '{_FIELD}')
if kept and tonumber(kept) >= tonumber(ARGV[1]) then return kept end
redis.call('HSET', KEYS[1], '{_FIELD}', ARGV[1])
return ARGV[1]
"""


async def check_format(client: RedisClient, meta: str) -> None:
    """Return if this release knows the store's format.

    Args:
        client: of the store.
        meta: the key of what is kept about the store as a whole.

    Raises:
        NewerStore: a newer release wrote it.
        StoreUnavailable: it does not answer.
    """
    _check(await client.ask("HGET", meta, _FIELD))


async def raise_format(client: RedisClient, meta: str) -> None:
    """Have the store tell that this release writes into it; one of an earlier format is upgraded.

    Args:
        client: of the store.
        meta: the key of what is kept about the store as a whole.

    Raises:
        NewerStore: a newer release wrote it; nothing is changed.
        StoreFull, StoreUnavailable: it takes no writes at the moment.
    """
    _check(await client.script(_RAISE)([meta], [FORMAT]))


def _check(found: bytes | None) -> None:
    kept = (found or b"0").decode()
    if int(kept) > FORMAT:
        raise NewerStore(
            f"the store is of format {kept}, and this release knows formats up to {FORMAT}: "
            "install the newer release again, or restore the backup that was taken before the "
            "upgrade"
        )
