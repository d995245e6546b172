"""The map of an index: who was written is placed, who was deleted is gone, parts hold the right."""

import asyncio
from collections.abc import Generator
from typing import TypeVar

import numpy as np
import pytest

from service.engine.layouts import STEPS
from service.engine.layouts import map as layout_map
from service.engine.layouts.anchors import Anchors, Frame, Placer
from service.engine.layouts.map import Circle, LayoutMap, Polygon
from service.engine.work.lanes import run_to_end
from service.index.base import Remove, Upsert
from service.index.faiss.index import FaissIndex
from tests.service.index.faiss.records import row, unit

DIM = 8
Result = TypeVar("Result")


def end_of(work: Generator[None, None, Result]) -> Result:
    return run_to_end(work)


@pytest.fixture
def vectors() -> np.ndarray:
    return unit(np.random.default_rng(1), 400, DIM)


@pytest.fixture
def known(vectors: np.ndarray) -> LayoutMap:
    """400 streamers, whose places are the first two numbers of their vectors."""
    places = vectors[:, :2]
    frame = Frame(-1, -1, 2)
    anchors = Anchors(np.arange(400, dtype=np.uint64), vectors.astype(np.float16), places, frame)
    index = FaissIndex(DIM, DIM)
    changes = [Upsert(f"s{i}", i + 1, *row(v, DIM, {})) for i, v in enumerate(vectors)]
    asyncio.run(index.apply(changes))
    made = LayoutMap("layout", Placer(anchors), index)
    end_of(made.placing())
    return made


def steps_of(vectors: np.ndarray) -> np.ndarray:
    return np.rint((vectors[:, :2].astype(np.float64) + 1) / 2 * STEPS)


def test_everyone_is_on_the_map(known: LayoutMap, vectors: np.ndarray) -> None:
    assert (known.placed, known.waiting) == (400, 0)
    points = end_of(known.points())
    names = known.index.ids_in(points.slots)
    assert sorted(names) == sorted(f"s{i}" for i in range(400))
    rows = [int(name[1:]) for name in names]
    assert np.abs(points.places.astype(np.float64) - steps_of(vectors[rows])).max() <= 40
    assert rows != sorted(rows)  # any beginning is spread over all
    halves = points.places[:200].mean(0) - points.places[200:].mean(0)
    assert np.abs(halves).max() < STEPS / 10


def test_who_is_written_moves_and_who_is_deleted_is_gone(
    known: LayoutMap, vectors: np.ndarray
) -> None:
    index = known.index
    before = known.place_of("s1")
    changes = [
        Upsert("s0", 1000, *row(vectors[7], DIM, {})),
        Upsert("new", 1001, *row(vectors[8], DIM, {})),
        Remove("s2", 1002),
    ]
    asyncio.run(index.apply(changes))
    assert known.place_of("new") is None
    end_of(known.placing())
    assert known.place_of("s0") == known.place_of("s7")
    assert known.place_of("new") == known.place_of("s8")
    assert known.place_of("s1") == before
    assert known.place_of("s2") is None
    assert known.place_of("nobody") is None
    names = known.index.ids_in(end_of(known.points()).slots)
    assert len(names) == 400
    assert "s2" not in names


def test_more_streamers_than_before_have_room(known: LayoutMap) -> None:
    more = unit(np.random.default_rng(2), 5000, DIM)
    changes = [Upsert(f"m{i}", 2000 + i, *row(v, DIM, {})) for i, v in enumerate(more)]
    asyncio.run(known.index.apply(changes))
    assert len(end_of(known.points()).slots) <= 400  # those beyond are not placed yet
    end_of(known.placing())
    assert len(end_of(known.points()).slots) == 5400


def test_a_polygon_holds_what_is_in_it(known: LayoutMap, vectors: np.ndarray) -> None:
    middle = STEPS / 2
    square = Polygon([(0, 0), (middle, 0), (middle, middle), (0, middle)])
    found = end_of(known.within(square, 400))
    names = {*known.index.ids_in(found.nearest.slots)}
    assert found.total == len(names)
    expected = {f"s{i}" for i, v in enumerate(vectors) if v[0] < -0.001 and v[1] < -0.001}
    near = {f"s{i}" for i, v in enumerate(vectors) if abs(v[0]) < 0.01 or abs(v[1]) < 0.01}
    assert expected - near == names - near


@pytest.mark.slow
@pytest.mark.parametrize("block", [1, 7, 64, 1 << 16])
@pytest.mark.parametrize("most", [1, 5, 50, 399, 400, 5000])
def test_those_nearest_to_the_middle_come_first_and_copies_by_slot(
    known: LayoutMap, monkeypatch: pytest.MonkeyPatch, block: int, most: int
) -> None:
    """As a sort of everyone has it, whatever is looked at at once."""
    monkeypatch.setattr(layout_map, "_BLOCK", block)
    copies = [Upsert(f"s{i}", 2000 + i, *_row_of(known, f"s{i % 20}")) for i in range(100, 200)]
    asyncio.run(known.index.apply(copies))
    end_of(known.placing())
    everyone = end_of(known.points())
    circle = Circle(30_000, 30_000, 25_000)
    far = ((everyone.places - np.array(circle.centre)) ** 2).sum(1)
    held = np.flatnonzero(far <= circle.radius**2)
    order = held[np.lexsort((everyone.slots[held], far[held]))][:most]
    found = end_of(known.within(circle, most))
    assert found.total == len(held) > 50
    np.testing.assert_array_equal(found.nearest.slots, everyone.slots[order])
    np.testing.assert_array_equal(found.nearest.places, everyone.places[order])


def _row_of(known: LayoutMap, name: str) -> tuple:
    slots = known.index.slots_of([name])
    block = known.index.read_slots(np.array(slots, np.uint32))
    return row(block.embeddings[0], DIM, {})


def test_no_more_than_asked_for_and_one_block_are_sorted_at_once(
    known: LayoutMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout_map, "_BLOCK", 50)
    sizes: list[int] = []
    smallest = layout_map._smallest

    def noting(numbers: np.ndarray, most: int) -> np.ndarray:
        rows = smallest(numbers, most)
        sizes.append(len(numbers))
        assert len(rows) <= most
        return rows

    monkeypatch.setattr(layout_map, "_smallest", noting)
    found = end_of(known.within(Circle(0, 0, 3 * STEPS), 10))
    assert found.total == 400
    assert len(sizes) == 8
    assert max(sizes) <= 60


def test_points_are_in_an_order_that_is_always_the_same(known: LayoutMap) -> None:
    slots = end_of(known.points()).slots
    keys = slots * np.uint32(2_654_435_761)  # modulo 2**32
    assert (np.diff(keys.astype(np.int64)) > 0).all()


def test_a_polygon_that_crosses_itself_follows_the_even_odd_rule() -> None:
    star = [(50 + 40 * np.sin(a), 50 + 40 * np.cos(a)) for a in 4 * np.pi * np.arange(5) / 5]
    places = np.array([[50.0, 50.0], [50.0, 80.0], [90.0, 90.0]])
    assert end_of(Polygon(star).holds(places)).tolist() == [False, True, False]


def test_a_polygon_agrees_with_a_test_of_angles() -> None:
    rng = np.random.default_rng(3)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 40))
    radii = rng.uniform(10, 50, 40)
    corners = [(r * np.cos(a), r * np.sin(a)) for a, r in zip(angles, radii, strict=True)]
    places = rng.uniform(-60, 60, (2000, 2))
    inside = end_of(Polygon(corners).holds(places))
    # The sum of the angles under which the sides are seen is a full turn inside, and none outside.
    sides = np.array(corners)[:, None] - places  # (P, C, 2)
    seen = np.arctan2(sides[..., 1], sides[..., 0])
    turned = np.diff(np.vstack([seen, seen[:1]]), axis=0)
    turned = (turned + np.pi) % (2 * np.pi) - np.pi
    np.testing.assert_array_equal(inside, np.abs(turned.sum(0)) > np.pi)


def test_a_circle_of_no_radius_holds_copies(known: LayoutMap, vectors: np.ndarray) -> None:
    asyncio.run(known.index.apply([Upsert("copy", 1000, *row(vectors[3], DIM, {}))]))
    end_of(known.placing())
    place = known.place_of("s3")
    assert place is not None
    found = end_of(known.within(Circle(*place, 0), 100))
    assert {"copy", "s3"} <= {*known.index.ids_in(found.nearest.slots)}
    assert found.total < 10
