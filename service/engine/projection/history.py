"""Tells whether rows that were inserted are of a history that the store has lost since."""

from service.store.base import LogGap, Position, StreamerStore, WentBack


async def lost_at(store: StreamerStore, place: Position) -> str | None:
    """Why rows up to a place may be of a lost history; None where the log shows nothing of it.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    try:
        if place.sequence:
            await store.check_continues(place)
    except WentBack as error:
        return str(error)
    except LogGap:  # it no longer goes back so far
        return None
    return None
