"""Colours by groups of duplicates, in a real store, and by what another model changed."""

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.engine.layouts.anchors import Anchors, Frame, Placer
from service.engine.layouts.map import Circle, LayoutMap
from service.engine.work.lanes import Lanes, run_to_end
from service.errors import InvalidRequest, NotReady
from service.features.layouts import service as layouts
from service.features.layouts.changing import MODEL_CHANGE, ModelChanges
from service.features.layouts.following import LayoutFollower
from service.features.layouts.service import GROUPS, Layouts
from service.features.layouts.storing import StoredLayouts
from service.index.base import Upsert, VectorIndex
from service.index.faiss.index import FaissIndex
from service.index.slots import SlotBlock, ValueClasses
from service.store.duplicates import Commit, GroupChange, GroupRecord
from service.store.redis.documents.store import RedisDocuments
from service.store.redis.duplicates.groups import RedisGroups
from service.store.redis.duplicates.judgements import RedisJudgements
from service.store.redis.events.feed import RedisEvents
from service.store.redis.store import RedisStore
from tests.service.index.asked import now
from tests.service.index.faiss.records import row, unit

pytestmark = pytest.mark.anyio
DIM = 4
NAMES = ("other-0", "other-1")
SIZES = {"dup-a": 25, "dup-b": 20, "dup-c": 19, "dup-d": 7, "dup-e": 2}


class Counted(RedisGroups):
    """Groups of a real store, which notes how many members each answer has."""

    def __init__(self, store: RedisStore) -> None:
        client = store.client
        super().__init__(client, RedisJudgements(client), RedisEvents(client))
        self.answers: list[int] = []

    async def members(self, group_id: str, after: str, limit: int) -> list[str]:
        found = await super().members(group_id, after, limit)
        self.answers.append(len(found))
        return found

    async def members_of(self, group_ids: Sequence[str], most: int) -> list[tuple[list[str], int]]:
        found = await super().members_of(group_ids, most)
        self.answers.append(sum(len(members) for members, _ in found))
        return found


@pytest.fixture
async def groups(store: RedisStore) -> Counted:
    """Groups of these sizes; the first members of each are `dup-a-00`, …."""
    made = Counted(store)
    token = await made.claim("one", 60)
    assert token is not None
    changes = [
        GroupChange(
            None,
            GroupRecord(group_id, "live", size, f"{group_id}-00", 1.0, 1.0),
            joined=[f"{group_id}-{i:02}" for i in range(size)],
        )
        for group_id, size in SIZES.items()
    ]
    await made.commit(token, 1, Commit(groups=changes))
    return made


@pytest.fixture
def other_model() -> list[tuple[str, VectorIndex | None]]:
    """The other model that the replica holds, if a test puts one there."""
    return []


class Exchanged(FaissIndex):
    """When asked, both of `NAMES` are written; the second one takes the first one's slot."""

    def __init__(self) -> None:
        super().__init__(DIM, DIM)
        self.may_exchange = False

    def exchange(self) -> None:
        if not self.may_exchange:
            return
        self.may_exchange = False
        first = self.slots_of(NAMES)[0]
        for version, name in enumerate(NAMES, 1000):
            vector = now(self.vector(name))
            assert vector is not None
            facets = {"category": name}
            now(self.apply([Upsert(name, version, *row(vector.embedding, DIM, facets))]))
        assert self.slots_of(NAMES)[1] == first

    def ids_in(self, slots: NDArray[np.uint32]) -> list[str]:
        self.exchange()
        return super().ids_in(slots)

    def value_classes(self, field: str, most: int) -> ValueClasses:
        self.exchange()
        return super().value_classes(field, most)


@pytest.fixture
async def drawing(
    store: RedisStore,
    groups: Counted,
    lanes: Lanes,
    other_model: list[tuple[str, VectorIndex | None]],
) -> Layouts:
    """Use-cases over a map of all members but the last one of each group, and ten others."""
    names = [f"{g}-{i:02}" for g, size in SIZES.items() for i in range(size - 1)]
    names += [f"other-{i}" for i in range(10)]
    vectors = unit(np.random.default_rng(0), len(names), DIM)
    index = Exchanged()
    rows = zip(names, vectors, strict=True)
    await index.apply([Upsert(n, i, *row(v, DIM, {})) for i, (n, v) in enumerate(rows, 1)])
    keys = np.arange(len(names), dtype=np.uint64)
    known = Anchors(keys, vectors.astype(np.float16), vectors[:, :2], Frame(-1, -1, 2))
    served = LayoutMap("layout", Placer(known), index)
    run_to_end(served.placing())
    kept = StoredLayouts(RedisDocuments(store.client), lanes)
    replica: Any = SimpleNamespace(index=index)
    follower = LayoutFollower(kept, replica, "model", lanes)
    follower.served = served
    changes = ModelChanges(lambda: next(iter(other_model), None), lanes)
    return Layouts(None, follower, groups, changes, lanes)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [1, 2, 5, 6, 1000])
@pytest.mark.parametrize("groups_at_once", [1, 2, 5])
async def test_all_members_have_their_colour_and_few_are_read_at_once(
    drawing: Layouts,
    groups: Counted,
    monkeypatch: pytest.MonkeyPatch,
    at_once: int,
    groups_at_once: int,
) -> None:
    monkeypatch.setattr(layouts, "_MEMBERS_AT_ONCE", at_once)
    monkeypatch.setattr(layouts, "_GROUPS_AT_ONCE", groups_at_once)
    drawn = await drawing.draw(GROUPS)
    content = b"".join(drawn.parts)
    size = int.from_bytes(content[4:8], "little")
    head = json.loads(content[8 : 8 + size])
    classes = {one["value"]: one["count"] for one in head["classes"]}
    assert classes == {group_id: members - 1 for group_id, members in SIZES.items()}
    codes = np.frombuffer(content, "u1", offset=8 + size + 4 * head["count"])
    assert np.bincount(codes).tolist() == [10, *classes.values()]
    assert max(groups.answers) <= at_once * groups_at_once


def test_an_answer_is_small_enough_for_the_event_loop() -> None:
    """Some microseconds each, of the 20 ms that it may be kept."""
    assert layouts._GROUPS_AT_ONCE * layouts._MEMBERS_AT_ONCE <= 5000


async def test_of_a_huge_group_the_first_members_are_told(
    drawing: Layouts, groups: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layouts, "_MEMBERS_AT_ONCE", 5)
    monkeypatch.setattr(layouts, "_MOST_MEMBERS", 10)
    content = b"".join((await drawing.draw(GROUPS)).parts)
    size = int.from_bytes(content[4:8], "little")
    classes = json.loads(content[8 : 8 + size])["classes"]
    assert [one["count"] for one in classes] == [10, 10, 10, 6, 1]
    assert len(groups.answers) == 1 + 4  # the first ones of all, then one more page of four


async def test_five_ranges_of_what_another_model_changed(
    drawing: Layouts, other_model: list[tuple[str, VectorIndex | None]]
) -> None:
    with pytest.raises(InvalidRequest, match="needs another model in this replica"):
        await drawing.draw(MODEL_CHANGE)
    other_model[:] = [("next", None)]
    with pytest.raises(NotReady, match="index of the model next is not complete"):
        await drawing.draw(MODEL_CHANGE)
    served = drawing._follower.served
    assert served is not None
    live = served.index.live_slots()
    block = served.index.read_slots(live.slots)
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0]
    noise = rng.standard_normal(block.embeddings.shape) * rng.uniform(0, 0.8, (len(live.slots), 1))
    moved = (block.embeddings @ turn + noise).astype(np.float32)
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    few, all_ = FaissIndex(DIM, DIM), FaissIndex(DIM, DIM)
    for count, index in ((20, few), (len(moved), all_)):
        of = zip(block.ids[:count], moved[:count], block.versions[:count].tolist(), strict=True)
        await index.apply([Upsert(name, at, *row(v, DIM, {})) for name, v, at in of])
    other_model[:] = [("few", few)]
    with pytest.raises(InvalidRequest, match=r"needs 32 streamers .* and there are 20"):
        await drawing.draw(MODEL_CHANGE)
    other_model[:] = [("next", all_)]
    for _ in range(2):  # the second time nothing is left to be looked at
        content = b"".join((await drawing.draw(MODEL_CHANGE)).parts)
        size = int.from_bytes(content[4:8], "little")
        head = json.loads(content[8 : 8 + size])
        classes = head["classes"]
        assert [one["lte"] for one in classes[:-1]] == [one["gte"] for one in classes[1:]]
        assert sum(one["count"] for one in classes) == head["count"] == len(moved)
        assert max(one["count"] for one in classes) <= len(moved) / 5 + 2
        codes = np.frombuffer(content, "u1", offset=8 + size + 4 * head["count"])
        assert np.bincount(codes).tolist() == [0, *(one["count"] for one in classes)]


async def test_who_is_in_anothers_slot_meanwhile_is_not_told_as_that_one(
    drawing: Layouts,
) -> None:
    served = drawing._follower.served
    assert served is not None
    index = served.index
    assert isinstance(index, Exchanged)
    place = served.place_of("other-0")
    assert place is not None
    index.may_exchange = True
    found = await drawing.select(Circle(*place, 0), 5)
    assert not index.may_exchange
    assert [row.streamer_id for row, _ in found.streamers] == []
    run_to_end(served.placing())
    (one, at), *_ = (await drawing.select(Circle(*place, 0), 5)).streamers
    assert (one.streamer_id, at) == ("other-0", place)


async def test_the_place_of_a_slot_is_of_who_is_asked_for(drawing: Layouts) -> None:
    served = drawing._follower.served
    assert served is not None
    index = served.index
    assert isinstance(index, Exchanged)
    before = served.place_of("other-0")
    now(index.apply([Upsert("more", 500, *row(np.ones(DIM, np.float32), DIM, {}))]))
    run_to_end(served.placing())  # the map has room for another one, and stays the same array
    index.may_exchange = True
    read = index.read_slots

    def placed_first(slots: NDArray[np.uint32]) -> SlotBlock:
        index.read_slots = read  # type: ignore[method-assign]
        index.exchange()
        run_to_end(served.placing())
        return read(slots)

    index.read_slots = placed_first  # type: ignore[method-assign]
    assert served.place_of("other-0") is None
    assert served.place_of("other-0") == before


async def test_colours_of_who_is_in_anothers_slot_meanwhile_are_not_of_that_one(
    drawing: Layouts,
) -> None:
    served = drawing._follower.served
    assert served is not None
    assert isinstance(served.index, Exchanged)
    served.index.may_exchange = True
    content = b"".join((await drawing.draw("category")).parts)
    size = int.from_bytes(content[4:8], "little")
    head = json.loads(content[8 : 8 + size])
    assert {one["value"] for one in head["classes"]} == {*NAMES}
    codes = np.frombuffer(content, "u1", offset=8 + size + 4 * head["count"])
    assert not codes.any()
    run_to_end(served.placing())
    content = b"".join((await drawing.draw("category")).parts)
    assert np.bincount(np.frombuffer(content, "u1")[-head["count"] :]).tolist()[1:] == [1, 1]
