"""Rows by slot: who is where, in which version, and in which class of a field."""

import asyncio
from typing import Any

import numpy as np
import pytest

from service.index.base import Remove, Upsert
from service.index.faiss.index import FaissIndex
from service.index.slots import Slotted
from tests.service.index.faiss.records import row, unit

DIM, CONTENT = 8, 8


@pytest.fixture
def index() -> FaissIndex:
    return FaissIndex(DIM, CONTENT)


def write(index: FaissIndex, name: str, version: int, **attributes: Any) -> np.ndarray:
    vector = unit(np.random.default_rng(version), DIM)
    facets = {"category": attributes.pop("category", "food"), "attributes": attributes}
    asyncio.run(index.apply([Upsert(name, version, *row(vector, CONTENT, facets))]))
    return vector


def test_an_index_has_slots(index: FaissIndex) -> None:
    assert isinstance(index, Slotted)
    live = index.live_slots()
    assert len(live.slots) == len(live.versions) == 0
    block = index.read_slots(live.slots)
    assert block.embeddings.shape == (0, DIM)
    assert not block.ids


def test_a_new_version_is_in_another_slot_and_who_is_deleted_in_none(index: FaissIndex) -> None:
    for version, name in enumerate(("a", "b", "c"), start=1):
        write(index, name, version)
    before = index.live_slots()
    newest = write(index, "b", 4)
    asyncio.run(index.apply([Remove("c", 5)]))
    live = index.live_slots()
    known = dict(zip(index.ids_in(live.slots), live.versions.tolist(), strict=True))
    assert known == {"a": 1, "b": 4}
    block = index.read_slots(before.slots)  # of which two are left
    assert list(block.ids) == ["a"]
    (slot,) = index.slots_of(["b"])
    assert slot is not None
    np.testing.assert_array_equal(
        index.read_slots(np.array([slot], np.uint32)).embeddings[0], newest
    )
    assert index.slots_of(["c", "nobody"]) == [None, None]
    assert "" in index.ids_in(before.slots)


def test_who_has_no_vector_has_no_slot(index: FaissIndex) -> None:
    asyncio.run(index.apply([Upsert("mute", 1, *row(None, CONTENT, {"category": "food"}))]))
    assert index.slots_of(["mute"]) == [None]
    assert len(index.live_slots().slots) == 0


def test_values_are_classes_the_most_frequent_first(index: FaissIndex) -> None:
    categories = ["food"] * 5 + ["music"] * 3 + ["talk"]
    for version, category in enumerate(categories, start=1):
        write(index, f"s{version}", version, category=category)
    classes, codes = index.value_classes("category", 2)
    assert [(one.value, one.count) for one in classes] == [("food", 5), ("music", 3)]
    slots = index.slots_of([f"s{i}" for i in range(1, 10)])
    assert [int(codes[slot]) for slot in slots if slot is not None] == [1] * 5 + [2] * 3 + [0]


def test_numbers_are_ranges_and_each_is_in_one(index: FaissIndex) -> None:
    for version in range(1, 101):
        write(index, f"s{version}", version, followers=version)
    classes, codes = index.value_classes("followers", 12)
    assert len(classes) == 5
    assert sum(one.count for one in classes) == 100
    for version in range(1, 101):
        (slot,) = index.slots_of([f"s{version}"])
        assert slot is not None
        found = classes[codes[slot] - 1]
        assert found.gte is not None
        assert found.lte is not None
        assert found.gte <= version <= found.lte
    assert index.value_classes("nothing", 12).classes == []


def test_one_number_is_one_range(index: FaissIndex) -> None:
    write(index, "a", 1, followers=7)
    ((one,), codes) = index.value_classes("followers", 12)
    assert (one.gte, one.lte, one.count) == (7, 7, 1)
    assert codes.tolist() == [1]
