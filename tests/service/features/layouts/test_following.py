"""The map while it is placed anew, by an index that was exchanged or for another layout."""

import asyncio
from collections.abc import Generator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from service.engine.layouts import map as map_module
from service.engine.layouts.anchors import Anchors, Frame, keys_of
from service.engine.layouts.map import Circle
from service.engine.work.lanes import Lane, Lanes
from service.errors import Overloaded, StreamerNotFound
from service.features.layouts.following import LayoutFollower
from service.features.layouts.service import Layouts
from service.features.layouts.storing import LayoutRecord
from service.index.base import Upsert
from service.index.faiss.index import FaissIndex
from tests.service.index.faiss.records import row, unit
from tests.service.store.records import until

pytestmark = pytest.mark.anyio
DIM = 4
NAMES = [f"s{i}" for i in range(6)]
VECTORS = unit(np.random.default_rng(0), len(NAMES), DIM)
ALL = Circle(0, 0, 1e6)


class Kept:
    """The layouts of a store."""

    def __init__(self) -> None:
        self.record = LayoutRecord("one", 1.0, "model", len(NAMES), 1.0, Frame(-1, -1, 2), [])

    async def current(self) -> LayoutRecord:
        return self.record

    async def load(self, record: LayoutRecord) -> Anchors:
        return Anchors(keys_of(NAMES), VECTORS.astype(np.float16), VECTORS[:, :2], record.frame)


class Held:
    """Lanes in which somebody is placed when the test says so."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self.is_asked, self.may_go_on = asyncio.Event(), asyncio.Event()

    async def run_in_slices(self, work: Generator[None, None, None], lane: Lane) -> None:
        self.is_asked.set()
        await self.may_go_on.wait()
        await self._lanes.run_in_slices(work, lane)


class Late:
    """Lanes that are late once, after as many steps as the test says."""

    left = 0

    async def run_in_slices(self, work: Generator[None, None, None], _: Lane) -> None:
        for _step in work:
            self.left -= 1
            if not self.left:
                raise Overloaded("not done in time")


async def filled(index: FaissIndex, names: Sequence[str], **versions: int) -> FaissIndex:
    rows = [
        Upsert(name, versions.get(name, 1 + NAMES.index(name)), *row(vector, DIM, {}))
        for name, vector in zip(NAMES, VECTORS, strict=True)
        if name in names
    ]
    await index.apply(rows)
    return index


@pytest.fixture
async def replica() -> Any:
    """What follows the index, which has everyone."""
    index = await filled(FaissIndex(DIM, DIM), NAMES)
    return SimpleNamespace(index=index, sequence=10, behind_because=None)


async def shown(layouts: Layouts) -> list[str]:
    found = await layouts.select(ALL, 100)
    return sorted(one.streamer_id for one, _ in found.streamers)


async def test_an_exchanged_index_shows_nobody_who_was_deleted_since(
    replica: Any, lanes: Lanes
) -> None:
    kept: Any = Kept()
    held: Any = Held(lanes)
    held.may_go_on.set()
    follower = LayoutFollower(kept, replica, "model", held)
    layouts = Layouts(None, follower, None, None, lanes)  # type: ignore[arg-type]
    follower.start()
    await until(lambda: follower.problem is None)
    assert await shown(layouts) == NAMES
    held.is_asked.clear()
    held.may_go_on.clear()
    # s0 was deleted, s1 written anew.
    replica.index = await filled(FaissIndex(DIM, DIM), NAMES[1:], s1=99)
    follower.wake()
    await held.is_asked.wait()
    assert await shown(layouts) == NAMES[2:]
    for name in NAMES[:2]:
        with pytest.raises(StreamerNotFound):
            await layouts.around(name, 0, 1)
    assert "built anew" in (layouts.state().problem or "")
    held.may_go_on.set()
    await until(lambda: follower.problem is None)
    assert await shown(layouts) == NAMES[1:]
    replica.behind_because = "the newest writes may be missing"
    assert layouts.state().problem == replica.behind_because
    await follower.stop()


async def test_who_was_placed_stays_placed_when_a_thread_is_late(
    replica: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(map_module, "_AT_ONCE", 2)
    kept: Any = Kept()
    late: Any = Late()
    follower = LayoutFollower(kept, replica, "model", late)
    await follower._look()
    kept.record = replace(kept.record, layout_id="two")
    late.left = 4
    with pytest.raises(Overloaded):
        await follower._look()
    coming = follower.coming
    assert coming is not None
    assert (coming.placed, coming.waiting) == (4, 2)
    await follower._look()
    assert follower.served is coming
    assert coming.waiting == 0
