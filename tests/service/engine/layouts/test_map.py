"""The map of an index: who was written is placed, who was deleted is gone, parts hold the right."""

import asyncio
from collections.abc import Generator
from typing import TypeVar

import numpy as np
import pytest

from service.engine.layouts import STEPS
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
    found = end_of(known.within(square))
    names = {known.index.ids_in(found.slots)[i] for i in range(len(found.slots))}
    expected = {f"s{i}" for i, v in enumerate(vectors) if v[0] < -0.001 and v[1] < -0.001}
    near = {f"s{i}" for i, v in enumerate(vectors) if abs(v[0]) < 0.01 or abs(v[1]) < 0.01}
    assert expected - near == names - near
    far = np.linalg.norm(found.places.astype(np.float64) - middle / 2, axis=1)
    assert (np.diff(far) >= 0).all()  # the nearest to its middle first


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
    found = end_of(known.within(Circle(*place, 0)))
    assert {"copy", "s3"} <= {*known.index.ids_in(found.slots)}
    assert len(found.slots) < 10
