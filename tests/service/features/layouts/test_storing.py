"""Layouts in a real store: whoever is erased is in none of them, whenever that was."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from service.engine.layouts.anchors import Anchors, Frame, keys_of
from service.engine.work.lanes import Lanes
from service.errors import StoreUnavailable
from service.features.jobs import runner
from service.features.layouts import storing
from service.features.layouts.storing import (
    COLLECTION,
    CURRENT,
    LayoutGone,
    LayoutRecord,
    StoredLayouts,
)
from service.store.documents import Document, Put
from service.store.redis.documents.store import RedisDocuments
from service.store.redis.store import RedisStore

pytestmark = pytest.mark.anyio
COUNT, DIM, PARTS = 40, 4, 4
NAMES = [f"s{i}" for i in range(COUNT)]
PUT_CALLS = 1 + PARTS
"""Of the documents, by a `put` that nobody disturbs."""
ERASE_CALLS = 6
"""By an erasure that finds one layout: its page, its record twice, its part twice, a last page."""


def anchors() -> Anchors:
    keys = np.sort(keys_of(NAMES))
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((COUNT, DIM)).astype(np.float16)
    return Anchors(keys, vectors, rng.random((COUNT, 2), np.float32), Frame(0, 0, 1))


def record(layout_id: str = "one") -> LayoutRecord:
    return LayoutRecord(layout_id, 1.0, "model", COUNT, 1.0, Frame(0, 0, 1), [])


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "_PART_BYTES", COUNT // PARTS * (2 * DIM + 16))


class Hooked:
    """Documents of a real store; `before` is awaited before each call, with its number."""

    def __init__(self, documents: RedisDocuments, before: Callable[[int], Any]) -> None:
        self._documents = documents
        self._before = before
        self.calls = 0

    async def _call(self, call: Callable[..., Any], *arguments: Any) -> Any:
        await self._before(self.calls)
        self.calls += 1
        return await call(*arguments)

    async def change(self, puts: Sequence[Put], *more: Any) -> list[int]:
        return await self._call(self._documents.change, puts, *more)

    async def get(self, collection: str, ids: Sequence[str]) -> list[Document | None]:
        return await self._call(self._documents.get, collection, ids)

    async def page(self, *arguments: Any) -> list[Document]:
        return await self._call(self._documents.page, *arguments)

    async def drop(self, collection: str) -> None:
        await self._call(self._documents.drop, collection)


class Live:
    """Who is stored, and what tells that of the rows of a layout."""

    def __init__(self, known: Anchors) -> None:
        self.keys = set(known.keys.tolist())
        self._known = known

    async def still_there(self, rows: slice) -> np.ndarray:
        return np.array([key in self.keys for key in self._known.keys[rows].tolist()])


async def held(layouts: StoredLayouts, layout_id: str = "one") -> set[int]:
    """Keys that are stored of a layout."""
    kept = await layouts.get(layout_id)
    assert kept is not None
    found = await layouts.load(kept)
    return set() if found is None else set(found.keys.tolist())


async def test_what_is_put_is_loaded(store: RedisStore, lanes: Lanes) -> None:
    layouts, known = StoredLayouts(RedisDocuments(store.client), lanes), anchors()
    kept, stored = await layouts.put(record(), known, Live(known).still_there)
    assert (len(kept.first_keys), stored) == (PARTS, COUNT)
    assert await layouts.get("one") == kept
    found = await layouts.load(kept)
    assert found is not None
    for name in ("keys", "vectors", "places"):
        np.testing.assert_array_equal(getattr(found, name), getattr(known, name))


@pytest.mark.parametrize("begin", range(PUT_CALLS + 1))
async def test_an_erasure_at_any_moment_leaves_nothing(
    store: RedisStore, lanes: Lanes, begin: int
) -> None:
    """The erasure takes some of its steps before a call of `put`, and the others after the end.

    Both ends of each part are erased, one after the other, in a layout of their own.
    """
    documents, known = RedisDocuments(store.client), anchors()
    size = COUNT // PARTS
    victims = [known.keys[at] for part in range(PARTS) for at in (part * size, part * size + 4)]
    for steps in range(ERASE_CALLS + 1):
        for victim in victims[:: 1 if steps in (0, ERASE_CALLS) else 3]:
            await documents.drop(COLLECTION)
            await documents.drop(f"{COLLECTION}:one")
            await erased_amid(documents, lanes, known, int(victim), begin, steps)


async def erased_amid(
    documents: RedisDocuments, lanes: Lanes, known: Anchors, victim: int, begin: int, steps: int
) -> None:
    name = next(name for name in NAMES if int(keys_of([name])[0]) == victim)
    live, may, waits = Live(known), asyncio.Semaphore(0), asyncio.Semaphore(0)
    erasing: asyncio.Task[None] | None = None

    async def before_erasing(_: int) -> None:
        waits.release()
        await may.acquire()

    async def erase() -> None:
        live.keys.discard(victim)  # a streamer is deleted before its copies are erased
        await StoredLayouts(Hooked(documents, before_erasing), lanes).erase(name)  # type: ignore[arg-type]
        for _ in range(ERASE_CALLS):  # or who counts on more calls would wait for ever
            waits.release()

    async def before_putting(call: int) -> None:
        nonlocal erasing
        if call == begin and erasing is None:
            erasing = asyncio.ensure_future(erase())
            for _ in range(steps):
                await waits.acquire()
                may.release()
            await waits.acquire()  # the last of these steps is done

    layouts = StoredLayouts(Hooked(documents, before_putting), lanes)  # type: ignore[arg-type]
    await layouts.put(record(), known, live.still_there)
    await before_putting(begin)  # after the end, where it did not begin before
    assert erasing is not None
    for _ in range(10 * ERASE_CALLS):
        may.release()
    await erasing
    others = {int(key) for key in known.keys} - {victim}
    plain = StoredLayouts(documents, lanes)
    assert await held(plain) == others, (begin, steps)
    kept = await plain.get("one")
    assert kept is not None
    assert victim not in kept.first_keys


@pytest.mark.parametrize("is_lost", [False, True])
async def test_a_trouble_that_passes_costs_one_part(
    store: RedisStore, lanes: Lanes, monkeypatch: pytest.MonkeyPatch, is_lost: bool
) -> None:
    """Before a call of the store, or in place of the answer of one that was carried out."""
    monkeypatch.setattr(runner, "_PAUSES_S", (0.0,))
    asked: list[int] = []

    class Troubled(Hooked):
        async def change(self, puts: Sequence[Put], *more: Any) -> list[int]:
            now, self.calls = self.calls, self.calls + 1
            if now % 3 == 2 and not is_lost:
                raise StoreUnavailable("the store is gone")
            revisions = await self._documents.change(puts, *more)
            if now % 3 == 2:
                raise StoreUnavailable("the store is gone")
            return revisions

    documents, known = RedisDocuments(store.client), anchors()
    live = Live(known)

    async def undisturbed(_: int) -> None: ...

    async def still_there(rows: slice) -> np.ndarray:
        asked.append(rows.start)
        return await live.still_there(rows)

    layouts = StoredLayouts(Troubled(documents, undisturbed), lanes)  # type: ignore[arg-type]
    kept, stored = await layouts.put(record(), known, still_there)
    assert stored == COUNT
    assert asked == sorted(asked)
    assert set(asked) == {part * (COUNT // PARTS) for part in range(PARTS)}
    assert await held(StoredLayouts(documents, lanes)) == live.keys
    assert kept == await layouts.get("one")


async def test_a_layout_whose_streamers_are_all_erased_is_none(
    store: RedisStore, lanes: Lanes
) -> None:
    layouts, known = StoredLayouts(RedisDocuments(store.client), lanes), anchors()
    kept, _ = await layouts.put(record(), known, Live(known).still_there)
    await layouts.publish(kept)
    for name in NAMES:
        assert await layouts.load(kept) is not None
        await layouts.erase(name)
    assert await layouts.load(kept) is None
    nobody = Live(known)
    nobody.keys.clear()
    kept, stored = await layouts.put(record("two"), known, nobody.still_there)
    assert stored == 0
    assert await layouts.load(kept) is None


async def test_an_erasure_and_a_publication_reach_every_layout(
    store: RedisStore, lanes: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing, "_LAYOUTS_AT_ONCE", 2)
    documents, known = RedisDocuments(store.client), anchors()
    layouts, live = StoredLayouts(documents, lanes), Live(known)
    ids = [f"{i}" for i in range(5)]
    for layout_id in ids:  # as fits leave them that were cancelled
        await layouts.put(record(layout_id), known, live.still_there)
    await layouts.erase(NAMES[0])
    for layout_id in ids:
        assert len(await held(layouts, layout_id)) == COUNT - 1
    last = await layouts.get(ids[-1])
    assert last is not None
    await layouts.publish(last)
    found = await documents.page(COLLECTION, None, 100)
    assert {one.document_id for one in found} == {CURRENT, ids[-1]}
    assert await documents.count(f"{COLLECTION}:{ids[0]}") == 0


@pytest.mark.parametrize("begun", range(6))
async def test_who_publishes_late_removes_nothing_that_is_served(
    store: RedisStore, lanes: Lanes, begun: int
) -> None:
    """Its lease was lost, and it stood still before one of its calls."""
    documents, known = RedisDocuments(store.client), anchors()
    layouts, live = StoredLayouts(documents, lanes), Live(known)
    late, _ = await layouts.put(record("late"), known, live.still_there)

    async def overtaken(call: int) -> None:
        if call == begun:
            newer, _ = await layouts.put(record("newer"), known, live.still_there)
            await layouts.publish(newer)

    hooked = Hooked(documents, overtaken)
    with contextlib.suppress(LayoutGone):
        await StoredLayouts(hooked, lanes).publish(late)  # type: ignore[arg-type]
    assert hooked.calls > begun
    served = await layouts.current()
    assert served is not None
    assert served.layout_id == "newer"
    assert await held(layouts, "newer") == live.keys
    found = await documents.page(COLLECTION, None, 100)
    assert {one.document_id for one in found} == {CURRENT, "newer"}
