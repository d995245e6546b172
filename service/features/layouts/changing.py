"""Colours of the map by how far streamers moved from another model to the one that is served."""

import asyncio
import weakref
from collections.abc import Callable
from functools import partial

import numpy as np

from service.engine.layouts.model_change import Changes, ModelChange, TooFew
from service.engine.work.lanes import Lane, Lanes
from service.errors import InvalidRequest, NotReady
from service.index.base import VectorIndex
from service.index.slots import Slotted, ValueClass, ValueClasses

MODEL_CHANGE = "model_change"
"""Colours by it, in place of a field."""
Beside = Callable[[], tuple[str, VectorIndex | None] | None]
"""Another model that this replica holds, and its index once that is complete; None without one."""
_RANGES = 5
_RETRY_S = 10


class ModelChanges:
    """How far each streamer is from where it lies among the others under another model."""

    def __init__(self, beside: Beside, lanes: Lanes) -> None:
        """Compare with the model that `beside` tells, in `lanes`."""
        self._beside = beside
        self._lanes = lanes
        self._looking = asyncio.Lock()
        self._known = ModelChange()
        self._of: tuple[str, weakref.ref[Slotted]] | None = None

    async def classes(self, index: Slotted) -> ValueClasses:
        """Five ranges of equally many streamers, the least changed first.

        Args:
            index: of the model that is served.

        Raises:
            InvalidRequest: there is no other model, or there are too few streamers.
            NotReady: its index is not complete here yet.
            Overloaded: too much work waits.
        """
        async with self._looking:
            name, other = self._other()
            if self._of is None or self._of[0] != name or self._of[1]() is not index:
                self._known, self._of = ModelChange(), (name, weakref.ref(index))
            try:
                work = self._known.looking(index, other)
                found = await self._lanes.run_in_slices(work, Lane.HEAVY)
            except TooFew as few:
                count, needed = few.args
                raise InvalidRequest.of_parameter(
                    "colour",
                    f"{MODEL_CHANGE} needs {needed} streamers with vectors of this model and of "
                    f"{name}, and there are {count}",
                ) from few
        return await self._lanes.run(partial(_ranges, found), Lane.HEAVY)

    def _other(self) -> tuple[str, Slotted]:
        beside = self._beside()
        if beside is None:
            raise InvalidRequest.of_parameter(
                "colour",
                f"{MODEL_CHANGE} needs another model in this replica, beside the one that is "
                "served: one that was backfilled, or the one before until it is retired "
                "(GET /v1/models)",
            )
        name, index = beside
        if not isinstance(index, Slotted):
            raise NotReady(
                f"the index of the model {name} is not complete in this replica yet "
                "(GET /v1/models tells how far it is)",
                _RETRY_S,
            )
        return name, index


def _ranges(found: Changes) -> ValueClasses:
    codes = np.zeros(int(found.slots.max(initial=0)) + 1, np.uint8)
    if not len(found.slots):
        return ValueClasses((), codes)
    shares = np.linspace(0, 1, _RANGES + 1)
    edges = np.unique(np.round(np.quantile(found.changes, shares), 3))  # as they are shown
    places = np.searchsorted(edges[1:-1], found.changes, side="right")  # (N,)
    codes[found.slots] = places + 1
    counts = np.bincount(places, minlength=max(1, len(edges) - 1)).tolist()
    ends = edges.tolist() if len(edges) > 1 else [*edges.tolist()] * 2
    classes = [
        ValueClass(None, low, high, count)
        for low, high, count in zip(ends[:-1], ends[1:], counts, strict=True)
    ]
    return ValueClasses(classes, codes)
