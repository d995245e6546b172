"""Inserts rows into a collection; those that Milvus refuses are told, and hold up no other."""

import logging
from collections import deque
from collections.abc import Collection as Sized
from collections.abc import Iterator, Sequence

from service.index.base import Upsert
from service.index.milvus.connection import Connection, Refused

_log = logging.getLogger(__name__)
_AT_ONCE = 1000
"""Rows of one insertion."""
_BYTES_AT_ONCE = 8 << 20


async def inserted(
    connection: Connection,
    name: str,
    rows: Sequence[Upsert],
    established: Sized[str],
    *,
    are_new: bool = True,
) -> list[int]:
    """Insert rows, in parts that Milvus takes.

    Args:
        connection: to the server.
        name: of the collection.
        rows: each with a vector.
        established: ids of established streamers.
        are_new: whether the collection has none of them yet.

    Returns:
        Versions that Milvus refuses and would refuse again.

    Raises:
        IndexUnavailable: some may not have been inserted, and may be later.
    """
    refused: list[int] = []
    parts = deque(_parts(rows))
    while parts:
        part = parts.popleft()
        try:
            await connection.call(
                name, lambda c, part=part: c.insert(part, established, are_new=are_new)
            )
        except Refused as error:
            if len(part) == 1:
                refused.append(part[0].version)
                _log.error(
                    "Milvus collection %s lacks streamer %s, which the services search in memory: "
                    "%s",
                    *(name, part[0].streamer_id, error),
                )
            else:
                half = len(part) // 2
                parts.extendleft((part[half:], part[:half]))
    return refused


def _parts(rows: Sequence[Upsert]) -> Iterator[Sequence[Upsert]]:
    """Rows in insertions that Milvus takes; tokens are longer than the facets that they tell."""
    part, size = list[Upsert](), 0
    for row in rows:
        bytes_of_row = len(row.embedding) + 4 * len(row.facets)
        if part and (len(part) == _AT_ONCE or size + bytes_of_row > _BYTES_AT_ONCE):
            yield part
            part, size = [], 0
        part.append(row)
        size += bytes_of_row
    if part:
        yield part
