"""The use-cases of the map: its state, its points, and who is in a part of it."""

import json
import struct
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.engine.layouts.map import Circle, LayoutMap, Points, Shape
from service.engine.work.lanes import Lane, Lanes
from service.errors import LayoutNotFound, NotReady, StreamerNotFound
from service.features.jobs.service import Jobs
from service.features.layouts.changing import MODEL_CHANGE, ModelChanges
from service.features.layouts.following import LayoutFollower
from service.features.layouts.jobs import KIND
from service.features.layouts.storing import LayoutRecord
from service.index.base import Row
from service.index.slots import ValueClass
from service.store.duplicates import GroupStore
from service.store.jobs import Job
from service.store.once import Once

MAGIC = b"SSM1"
GROUPS = "duplicate_group"
"""Colours by groups of duplicates, in place of a field."""
MOST_CLASSES = 12
MOST_GROUPS = 240
BLOCK = 1 << 16
"""Points of a block, but for the last one."""
_MOST_MEMBERS = 10_000
_GROUPS_AT_ONCE, _MEMBERS_AT_ONCE = 5, 1000
"""Of one answer of the store, which the event loop takes in at once."""
_HEAD = struct.Struct("<4sI")


@dataclass(frozen=True)
class State:
    """What there is.

    Attributes:
        current: the layout that the store names; None before the first one.
        served: id of the one that this replica serves.
        placed: streamers that are on it.
        waiting: streamers that are not yet.
        problem: why it may lack writes, or is missing.
    """

    current: LayoutRecord | None
    served: str | None
    placed: int
    waiting: int
    problem: str | None


class Drawing(NamedTuple):
    """All points of a map, as they are sent.

    Attributes:
        size: of all of it, in bytes.
        parts: of it.
    """

    size: int
    parts: Generator[bytes, None, None]


@dataclass(frozen=True)
class Selected:
    """Who is in a part of a map.

    Attributes:
        layout_id: of the layout.
        centre: of the part, in steps.
        count: how many are in it.
        streamers: those nearest to its centre, and where they are.
    """

    layout_id: str
    centre: tuple[float, float]
    count: int
    streamers: Sequence[tuple[Row, tuple[int, int]]]


class _Colours(NamedTuple):
    classes: Sequence[dict[str, Any]]
    codes: NDArray[np.uint8]  # by slot; those beyond have 0


class Layouts:
    """The map of the corpus, as this replica has it."""

    def __init__(
        self,
        jobs: Jobs,
        follower: LayoutFollower,
        groups: GroupStore,
        changes: ModelChanges,
        lanes: Lanes,
    ) -> None:
        """Serve what `follower` serves.

        Args:
            jobs: where fits are queued.
            follower: of the current layout.
            groups: of duplicates, for colours.
            changes: from another model, likewise.
            lanes: where the work is done.
        """
        self._jobs = jobs
        self._follower = follower
        self._groups = groups
        self._changes = changes
        self._lanes = lanes

    async def fit(self, once: Once | None, by: tuple[str, str]) -> Job:
        """Queue a fit, or find that of an earlier request; see `Jobs.submit`."""
        return await self._jobs.start(KIND, {}, once=once, by=by)

    def state(self) -> State:
        """What there is, as of the last look at the store a second ago."""
        known, served = self._follower, self._follower.served
        return State(
            known.record,
            None if served is None else served.layout_id,
            0 if served is None else served.placed,
            0 if served is None else served.waiting,
            known.problem,
        )

    async def draw(self, colour: str | None) -> Drawing:
        """All points, with the class of each in one field.

        Args:
            colour: a field as in filters, `duplicate_group`, `model_change`, or None for no
                classes.

        Raises:
            LayoutNotFound: nothing was fitted yet.
            NotReady: this replica has no map yet, or not all that the colours are made of.
            InvalidRequest: colours can't be made of `model_change`.
            Overloaded: too much work waits.
        """
        served = self._served(None)
        points = await self._lanes.run_in_slices(served.points(), Lane.HEAVY)
        colours = await self._colours(served, colour)
        await self._lanes.run_in_slices(_only_same(served, points, colours.codes), Lane.HEAVY)
        head = json.dumps(
            {
                "layout_id": served.layout_id,
                "count": len(points.slots),
                "block": BLOCK,
                "waiting": served.waiting,
                "colour": colour,
                "classes": colours.classes,
            },
            ensure_ascii=False,
        ).encode()
        head += b" " * (-len(head) % 4)  # numbers of two bytes begin at even places
        size = _HEAD.size + len(head) + 5 * len(points.slots)
        return Drawing(size, _parts(head, points, colours.codes))

    async def select(self, shape: Shape, limit: int, layout_id: str | None = None) -> Selected:
        """Who is in a part of the map, the `limit` of them who are nearest to its middle.

        Raises:
            LayoutNotFound: nothing was fitted yet, or `layout_id` is not served (any more).
            NotReady, Overloaded: as `draw`.
        """
        served = self._served(layout_id)
        total, found = await self._lanes.run_in_slices(served.within(shape, limit), Lane.HEAVY)
        ids = await self._lanes.run(partial(served.index.ids_in, found.slots), Lane.HEAVY)
        # The served map may be of the index before, which hears of no deletion any more.
        rows = await self._follower.indexed().get(ids)
        placed = zip(rows, found.places.tolist(), found.versions.tolist(), strict=True)
        # Others may be in these slots by now, and who was there may be elsewhere.
        shown = [
            (row, (x, y))
            for row, (x, y), version in placed
            if row is not None and row.version == version
        ]
        return Selected(served.layout_id, shape.centre, total, shown)

    async def around(self, streamer_id: str, radius: float, limit: int) -> Selected:
        """Who is near a streamer on the map.

        Raises:
            StreamerNotFound: it is not on the map.
            LayoutNotFound, NotReady, Overloaded: as `draw`.
        """
        served = self._served(None)
        place = served.place_of(streamer_id)
        if place is None or not await self._is_present(served, streamer_id):
            raise StreamerNotFound(
                f"streamer {streamer_id!r} is not on the map: it is not stored, shows nothing that "
                "the model can use, or was written a moment ago"
            )
        return await self.select(Circle(*place, radius), limit, served.layout_id)

    async def _is_present(self, served: LayoutMap, streamer_id: str) -> bool:
        """Whether a streamer is as the map's index has it; it may be of the index before."""
        (then,) = await served.index.get([streamer_id])
        (now,) = await self._follower.indexed().get([streamer_id])
        return then is not None and now is not None and then.version == now.version

    def _served(self, layout_id: str | None) -> LayoutMap:
        served = self._follower.served
        if served is None and self._follower.record is None:
            if self._follower.problem is not None:
                raise NotReady(self._follower.problem)
            raise LayoutNotFound("no layout was fitted yet: POST /v1/layouts:fit")
        if served is None:
            raise NotReady(self._follower.problem or "the layout is being read")
        if layout_id is not None and layout_id != served.layout_id:
            raise LayoutNotFound(
                f"the layout {layout_id!r} is not served here: {served.layout_id!r} is; "
                "GET /v1/layouts/current/points has its points"
            )
        return served

    async def _colours(self, served: LayoutMap, colour: str | None) -> _Colours:
        if colour is None:
            return _Colours((), np.zeros(0, np.uint8))
        if colour == GROUPS:
            return await self._by_group(served)
        if colour == MODEL_CHANGE:
            classes, codes = await self._changes.classes(served.index)
            return _Colours([_shown(one) for one in classes], codes)
        classify = partial(served.index.value_classes, colour, MOST_CLASSES)
        classes, codes = await self._lanes.run(classify, Lane.HEAVY)
        return _Colours([_shown(one) for one in classes], codes)

    async def _by_group(self, served: LayoutMap) -> _Colours:
        """The largest groups of duplicates."""
        groups, _ = await self._groups.page("size", "", MOST_GROUPS)
        held: list[NDArray[np.uint32]] = []
        for start in range(0, len(groups), _GROUPS_AT_ONCE):
            ids = [group.group_id for group in groups[start : start + _GROUPS_AT_ONCE]]
            found = await self._groups.members_of(ids, _MEMBERS_AT_ONCE)
            for group_id, (members, _) in zip(ids, found, strict=True):
                held.append(await self._slots_in(served, group_id, members))
        codes = await self._lanes.run_in_slices(_coded(held), Lane.HEAVY)
        classes = [
            _shown(ValueClass(group.group_id, None, None, len(slots)))
            for group, slots in zip(groups, held, strict=True)
        ]
        return _Colours(classes, codes)

    async def _slots_in(
        self, served: LayoutMap, group_id: str, members: Sequence[str]
    ) -> NDArray[np.uint32]:
        """Slots of a group, whose first members are known; the others are read by pages."""
        found: list[NDArray[np.uint32]] = [np.zeros(0, np.uint32)]
        left = _MOST_MEMBERS
        while True:
            slots = await self._lanes.run(partial(served.index.slots_of, members), Lane.HEAVY)
            found.append(np.array([slot for slot in slots if slot is not None], np.uint32))
            left -= len(members)
            if len(members) < _MEMBERS_AT_ONCE or left <= 0:
                break
            members = await self._groups.members(group_id, members[-1], _MEMBERS_AT_ONCE)
        return np.concatenate(found)


def _coded(held: Sequence[NDArray[np.uint32]]) -> Generator[None, None, NDArray[np.uint8]]:
    """Codes by slot: 1 + the place of the class that has it; pauses after each class."""
    codes = np.zeros(max((int(slots.max(initial=0)) + 1 for slots in held), default=0), np.uint8)
    for code, slots in enumerate(held, start=1):
        codes[slots] = code
        yield
    return codes


def _only_same(
    served: LayoutMap, points: Points, codes: NDArray[np.uint8]
) -> Generator[None, None, None]:
    """Take the classes of slots (slots,) that are not those points' any more: they are others'."""
    if not len(codes):
        return
    live = served.index.live_slots()
    yield
    versions = np.zeros(len(codes), np.int64)
    known = int(np.searchsorted(live.slots, len(codes)))
    versions[live.slots[:known]] = live.versions[:known]
    yield
    for start in range(0, len(points.slots), BLOCK):
        part = slice(start, start + BLOCK)
        slots = points.slots[part]
        has_code = slots < len(codes)
        slots, then = slots[has_code], points.versions[part][has_code]
        codes[slots[versions[slots] != then]] = 0
        yield


def _shown(one: ValueClass) -> dict[str, Any]:
    if one.gte is None:
        return {"value": one.value, "count": one.count}
    return {"gte": one.gte, "lte": one.lte, "count": one.count}


def _parts(head: bytes, points: Points, codes: NDArray[np.uint8]) -> Generator[bytes, None, None]:
    """The header, then blocks: x of all points of it, y of all, and the class of each."""
    yield _HEAD.pack(MAGIC, len(head)) + head
    for start in range(0, len(points.slots), BLOCK):
        part = slice(start, start + BLOCK)
        slots, (xs, ys) = points.slots[part], points.places[part].T.astype("<u2")
        known = np.zeros(len(slots), np.uint8)
        has_code = slots < len(codes)
        known[has_code] = codes[slots[has_code]]
        yield xs.tobytes() + ys.tobytes() + known.tobytes()
