"""Bitmaps of values: the same as asking each streamer."""

import json
import threading
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from service.index.faiss.rows.attributes import Attributes
from service.index.faiss.snapshot.blobs import BlobReader, BlobWriter
from service.index.filters import Condition, Filter, Unknown
from tests.service.index.faiss.records import lets_through

FACETS = {
    "language": "zh",
    "tags": ["a", "b"],
    "attributes": {"views": 10, "ratio": 0.5, "partner": True, "level": 1, "language": "other"},
}
SCALARS = st.sampled_from(
    ["a", "b", "zh", "1", True, False, 0, 1, 1.0, 0.5, -3, 2**53, 2**53 + 1, 2.0**53 + 2, 10**400]
)
NUMBERS = st.sampled_from([-3.0, 0, 0.5, 1, 2.0**53, 2**53 + 1, 2**53 + 3, -(2**53) - 1, 2.0**54])
NAMES = st.sampled_from(["views", "level", "language", "tags"])
ALL_FACETS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("not filterable"),
        "language": st.sampled_from(["zh", "en"]),
        "category": st.sampled_from(["a", "b"]),
        "tags": st.lists(st.sampled_from(["a", "b", "1"]), max_size=4),
        "attributes": st.dictionaries(NAMES, SCALARS),
    },
)
FIELDS = st.sampled_from(
    [
        "language",
        "category",
        "tags",
        "views",
        "level",
        "attributes.language",
        "attributes.tags",
        "x",
    ]
)
BOUND = st.none() | NUMBERS
VALUES = st.none() | st.lists(SCALARS, min_size=1, max_size=3)
CONDITIONS = st.builds(
    Condition, FIELDS, any=VALUES, all=VALUES, gt=BOUND, gte=BOUND, lt=BOUND, lte=BOUND
).filter(lambda c: c.any or c.all or c.is_bounded)
FILTERS = st.builds(Filter, st.lists(CONDITIONS, max_size=2), st.lists(CONDITIONS, max_size=2))


def slots_of(ids: Iterable[object]) -> set[int]:
    """Streamer s7 is in slot 7."""
    return {int(name[1:]) for name in ids if isinstance(name, str) and name[1:].isdigit()}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Condition("language", any=["zh", "en"]), True),
        (Condition("language", any=["en"]), False),
        (Condition("attributes.language", any=["other"]), True),
        (Condition("tags", any=["b", "c"]), True),
        (Condition("tags", all=["a", "b"]), True),
        (Condition("tags", all=["a", "c"]), False),
        (Condition("views", any=[10.0]), True),
        (Condition("partner", any=[True]), True),
        (Condition("partner", any=[1]), False),
        (Condition("level", any=[True]), False),
        (Condition("partner", gte=0), False),
        (Condition("language", gte=0), False),
        (Condition("views", gt=10), False),
        (Condition("views", gte=10, lte=10), True),
        (Condition("ratio", lt=0.5), False),
        (Condition("ratio", any=[0.5], gt=0.1), True),
        (Condition("category", any=["x"]), False),
        (Condition("nothing", lt=1), False),
        (Condition("streamer_id", any=["s7"]), True),
        (Condition("streamer_id", any=["s8", "nobody", 7, True, "s7"]), True),
        (Condition("streamer_id", any=["s8", "nobody"]), False),
        (Condition("streamer_id", any=["s7"], all=["s7"]), True),
        (Condition("streamer_id", all=["s7", "s7"]), True),
        (Condition("streamer_id", all=["s7", "s8"]), False),
        (Condition("streamer_id", all=["s7", "nobody"]), False),
        (Condition("streamer_id", gte=0), False),
        (Condition("attributes.streamer_id", any=["s7"]), False),
    ],
)
def test_a_condition(condition: Condition, holds: bool) -> None:
    attributes, everyone = Attributes(), BitMap([7])
    attributes.add(7, FACETS)
    assert (7 in attributes.allowed(Filter(must=[condition]), everyone, slots_of)) is holds
    assert (7 in attributes.allowed(Filter(must_not=[condition]), everyone, slots_of)) is not holds


def test_fields_that_nobody_has_are_named() -> None:
    attributes = Attributes()
    attributes.add(7, FACETS)
    names = ("views", "view", "streamer_id", "attributes.views", "category", "view", "attributes.x")
    conditions = [Condition(name, any=["a"]) for name in names]
    wanted = Filter(conditions[:4], conditions[4:])
    assert attributes.unknown(wanted).fields == ("view", "category", "attributes.x")
    attributes.discard(7, FACETS)
    assert attributes.unknown(Filter([conditions[0]])).fields == ("views",)


def test_values_that_nobody_has_are_named() -> None:
    attributes = Attributes()
    attributes.add(7, {"language": "en", "tags": ["a"], "attributes": {"live": True, "views": 3}})
    wanted = Filter(
        [Condition("language", any=["EN", "en"]), Condition("tags", all=["a", "b"], any=["b"])],
        [Condition("live", any=[False, True]), Condition("views", any=[4, "3"], lt=1)],
    )
    assert attributes.unknown(wanted) == Unknown(
        (), (("language", "EN"), ("tags", "b"), ("live", False), ("views", "3"))
    )
    ids = Filter(must_not=[Condition("streamer_id", any=["s7", 7]), Condition("tags", any=[7])])
    assert attributes.unknown(ids).values == (("streamer_id", 7), ("tags", 7))
    attributes.add(8, {"language": "EN", "tags": ["b"], "attributes": {"live": False}})
    assert attributes.unknown(wanted).values == (("views", "3"),)


def test_no_condition_is_no_filter() -> None:
    assert not Filter()
    assert Filter(must_not=[Condition("tags", any=["a"])])


@pytest.mark.slow
@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    history=st.lists(st.tuples(st.integers(0, 90), st.none() | ALL_FACETS), max_size=60),
    many=st.lists(SCALARS, max_size=80),
    wanted=st.lists(FILTERS, min_size=1, max_size=5),
)
def test_any_history_is_filtered_as_each_streamer_by_itself(
    history: list[tuple[int, dict[str, Any] | None]], many: list[Any], wanted: list[Filter]
) -> None:
    attributes, known = Attributes(), dict[int, dict[str, Any]]()
    started = [(100 + i, {"attributes": {"views": value}}) for i, value in enumerate(many)]
    for slot, facets in [*started, *history]:
        if slot in known:
            attributes.discard(slot, known.pop(slot))
        if facets is not None:
            attributes.add(slot, facets)
            known[slot] = facets
    for each in wanted:
        expected = {slot for slot, facets in known.items() if lets_through(each, facets)}
        assert set(attributes.allowed(each, BitMap(known), slots_of)) == expected
        assert attributes.unknown(each, threading.Lock()) == attributes.unknown(each)
    for slot, facets in known.items():
        attributes.discard(slot, facets)
    assert attributes.columns() == []  # nothing stays behind


@pytest.mark.parametrize("step", [1, 40])
def test_numbers_that_many_have_and_numbers_that_few_have(step: int) -> None:
    attributes = Attributes()
    slots = range(0, 4000, step)
    for slot in slots:
        attributes.add(slot, {"attributes": {"views": slot if slot % 7 else 2**60 + slot}})
    bounds = Filter([Condition("views", gte=500, lt=2.0**60)])
    expected = {s for s in slots if s >= 500 and s % 7}
    assert set(attributes.allowed(bounds, BitMap(slots), slots_of)) == expected
    for slot in slots[:20]:
        attributes.discard(slot, {"attributes": {"views": slot if slot % 7 else 2**60 + slot}})
    above = Filter([Condition("views", gt=2.0**60)])
    left = {s for s in slots[20:] if s % 7 == 0 and float(2**60 + s) >= 2.0**60 and s > 0}
    assert set(attributes.allowed(above, BitMap(slots), slots_of)) == left


@pytest.mark.parametrize("distinct", [1, 7, 256, 257, 3000])
def test_few_different_numbers_and_many(distinct: int) -> None:
    """Also after a snapshot, and after some had another number for a while."""
    slots, value = range(3000), lambda slot: (slot % distinct) / 4
    made = Attributes()
    for slot in slots:
        made.add(slot, {"attributes": {"level": value(slot)}})
    for slot in slots[::3]:
        made.discard(slot, {"attributes": {"level": value(slot)}})
        made.add(slot, {"attributes": {"level": 9000 + slot}})
        made.discard(slot, {"attributes": {"level": 9000 + slot}})
        made.add(slot, {"attributes": {"level": value(slot)}})
    loaded, blobs = Attributes(), BlobWriter()
    columns = made.dump(np.ones(len(slots), np.bool_), BitMap(slots), blobs)
    for column in columns:
        loaded.load(json.loads(json.dumps(column)), BlobReader(bytes(blobs.data)), len(slots))
    conditions = [
        (Condition("level", any=[0.5, 0.25, 7, 1e9]), lambda v: v in (0.5, 0.25, 7)),
        (Condition("level", gt=0.25, lte=60), lambda v: 0.25 < v <= 60),
        (Condition("level", lt=0), lambda _: False),
    ]
    for attributes in (made, loaded):
        for condition, holds in conditions:
            found = attributes.allowed(Filter([condition]), BitMap(range(500, 3000)), slots_of)
            assert set(found) == {s for s in slots if s >= 500 and holds(value(s))}
        for slot in slots:
            attributes.discard(slot, {"attributes": {"level": value(slot)}})
        assert attributes.columns() == []


@pytest.mark.parametrize("value", ["alone", "shared", 7, 2**60])
@pytest.mark.parametrize("known", [3, 3000])
def test_slots_that_came_after_the_mask_are_left_out(value: Any, known: int) -> None:
    """A snapshot counts the slots first, and copies the columns one after the other."""
    late, attributes = known + 5, Attributes()
    for slot in (*range(known), late):
        attributes.add(slot, {"attributes": {"x": f"{slot}" if value == "alone" else value}})
    blobs, loaded = BlobWriter(), Attributes()
    (column,) = attributes.dump(np.ones(known, np.bool_), BitMap(range(known)), blobs)
    loaded.load(json.loads(json.dumps(column)), BlobReader(bytes(blobs.data)), known)
    wanted = Filter([Condition("x", any=["1" if value == "alone" else value])])
    expected = BitMap([1]) if value == "alone" else BitMap(range(known))
    assert loaded.allowed(wanted, BitMap(range(late + 1)), slots_of) == expected
