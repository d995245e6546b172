"""What a question is told whose write the index does not show."""

import asyncio
import contextlib

from service.errors import NotYetVisible
from service.store.base import StreamerStore

_LOOK_S = 1.0


async def not_yet_visible(store: StreamerStore, applied: int, sequence: int) -> NotYetVisible:
    """The error of a question for a write that the index did not reach in time.

    A write has its number once the store has it. So where the store ends before that number, the
    write was lost, or is of another store, and nobody should wait for it.

    Args:
        store: whose log the index follows; one that does not answer at once is not waited for.
        applied: the last sequence number that the index has applied.
        sequence: that of the write.
    """
    with contextlib.suppress(Exception):  # the question is refused either way
        async with asyncio.timeout(_LOOK_S):
            end = (await store.position(confirmed=True)).sequence
        if end < sequence:
            return NotYetVisible(
                f"the store ends at sequence {end}, before {sequence}: that write was lost, or is "
                "of another store; ask without after_sequence",
                store_sequence=end,
            )
    return NotYetVisible(f"the index has applied sequence {applied}, not yet {sequence}")
