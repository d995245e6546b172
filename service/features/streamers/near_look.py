"""The look for near-duplicates of what is written; it never fails the write."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from model_export.contract.streamer import StreamerProfile
from service.engine.encoding.onnx_encoder import Encoded
from service.errors import ServiceError
from service.features.dedup.answers import NearDuplicate
from service.features.streamers.outcomes import FollowUp
from service.store.base import Record

_log = logging.getLogger(__name__)
_MOST_S = 2.0

NearDuplicatesOf = Callable[[str, Encoded, bytes, StreamerProfile], Awaitable[list[NearDuplicate]]]
"""Near-duplicates of a streamer by its id, vectors, what towers made of it, and its profile."""


async def look(
    near_duplicates: NearDuplicatesOf | None,
    record: Record,
    encoded: Encoded | None,
    profile: StreamerProfile,
) -> FollowUp:
    """Near-duplicates of what is written, or why they are unknown.

    Args:
        near_duplicates: finds them; None where nobody asks.
        record: as it is stored.
        encoded: its vectors; None without usable content.
        profile: as it was given.
    """
    if encoded is None or near_duplicates is None:
        return FollowUp([])
    try:
        async with asyncio.timeout(_MOST_S):
            near = await near_duplicates(record.streamer_id, encoded, record.tower_vectors, profile)
        return FollowUp(near)
    except ServiceError as error:
        return FollowUp(None, error.detail)
    except TimeoutError:
        return FollowUp(None, f"they were not found within {_MOST_S:g} s")
    except Exception:  # noqa: BLE001 - the write does not depend on it
        _log.exception("near-duplicates of %r can't be found", record.streamer_id)
        return FollowUp(None, "they can't be found: the service's log has the cause")
