"""Streamers that become established when another generation is served, for the feed of events."""

import hashlib
import json
from collections.abc import Generator, Mapping

import numpy as np

from service.engine.spaces.active import ServedGeneration
from service.engine.spaces.established import established_rows
from service.engine.spaces.generation import row_of
from service.engine.work.lanes import Lanes
from service.features.spaces.patient_work import in_slices
from service.store.events import NewEvent

KIND = "streamer.graduated"
_MOST = 10_000
"""Events of one switch: beyond, the hand-over is another population, and nobody's news."""


class Graduations:
    """Finds who was not established in one generation and is in the next."""

    def __init__(self, lanes: Lanes, min_interactions: float) -> None:
        """Count as established who has so many interactions."""
        self._lanes = lanes
        self._least = min_interactions

    async def between(
        self, before: ServedGeneration | None, after: ServedGeneration | None
    ) -> Mapping[str, NewEvent]:
        """Events of a switch, by streamer; none of the first generation: everybody is new."""
        if before is None or after is None:
            return {}
        return await in_slices(self._lanes, self._found(before, after))

    def _found(
        self, before: ServedGeneration, after: ServedGeneration
    ) -> Generator[None, None, dict[str, NewEvent]]:
        old, new = before.generation, after.generation
        was = established_rows(old, self._least)
        found: dict[str, NewEvent] = {}
        for number, row in enumerate(np.flatnonzero(established_rows(new, self._least)).tolist()):
            streamer_id = new.streamer_ids[row]
            if streamer_id in after.erased_streamers:
                continue
            old_row = row_of(old, streamer_id)
            if old_row is None or not was[old_row]:
                if len(found) == _MOST:
                    return {}
                found[streamer_id] = _event(new.space, new.generation, streamer_id)
            if number % 1024 == 0:
                yield
        return found


def _event(space: str, generation: str, streamer_id: str) -> NewEvent:
    cause = json.dumps([KIND, space, streamer_id, generation]).encode()
    data = {"space": space, "generation": generation, "streamer_id": streamer_id}
    return NewEvent(hashlib.sha256(cause).hexdigest()[:32], KIND, json.dumps(data).encode())
