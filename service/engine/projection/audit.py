"""Compares a collection with the index: what is missing is inserted, what is too much deleted."""

import asyncio
import logging
from collections.abc import Collection as Sized

from service.engine.projection.inserting import inserted
from service.engine.projection.lease import Lease
from service.engine.replica.follower import Follower
from service.index.base import Upsert
from service.index.milvus.base import MilvusBase
from service.index.milvus.collection import MOST_HITS
from service.index.milvus.index import MilvusIndex

_log = logging.getLogger(__name__)
_AT_ONCE = 4096


async def audited(
    base: MilvusBase,
    name: str,
    follower: Follower,
    lease: Lease,
    established: Sized[str],
) -> tuple[int, int]:
    """Repair what the collection should show by now.

    Args:
        base: the connection, and vectors of streamers.
        name: of the collection.
        follower: has the live index, which knows every streamer's newest version.
        lease: says up to where the collection is settled; it is confirmed before deletions.
        established: ids of established streamers.

    Returns:
        How many versions were missing, and how many were too many.

    Raises:
        RevisionConflict: another process has the lease by now.
        IndexUnavailable, StoreUnavailable: it can't be compared.
    """
    complete, record = follower.complete, lease.record
    if complete is None or complete[1].epoch != record.epoch:
        return 0, 0
    index, place = complete
    assert isinstance(index, MilvusIndex)
    until = min(record.settled, place.sequence)
    versions = await asyncio.to_thread(index.versions)
    known: list[int] = versions[versions <= until].tolist()
    missing, garbage, above = set[int](), set[int](), 0
    while above < until:
        ahead = known[:_AT_ONCE]
        up_to = ahead[-1] if len(ahead) == _AT_ONCE else until
        found = set(await base.connection.call(name, lambda c, a=above, b=up_to: c.versions(a, b)))
        extra = found - set(ahead)
        if len(found) == MOST_HITS and extra:  # there may be more
            await lease.confirm()
            await base.connection.call(name, lambda c, extra=extra: c.delete(sorted(extra)))
            continue
        missing |= set(ahead) - found
        garbage |= extra
        known, above = known[_AT_ONCE:], up_to
    now = await asyncio.to_thread(index.ids_of, missing | garbage)
    missing &= now.keys() - set(record.refused)
    garbage -= now.keys()
    if garbage:
        await lease.confirm()
        await base.connection.call(name, lambda c: c.delete(sorted(garbage)))
    if missing:
        _log.error("%d rows were missing in Milvus collection %s", len(missing), name)
        lacking = [now[version] for version in sorted(missing)]
        for start in range(0, len(lacking), _AT_ONCE // 8):
            rows = await base.source.entries(lacking[start : start + _AT_ONCE // 8])
            again: list[Upsert] = [r for r in rows if r is not None and r.version in missing]
            await inserted(base.connection, name, again, established)
    return len(missing), len(garbage)
