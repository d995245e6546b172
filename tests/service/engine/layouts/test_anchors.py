"""Places by anchors: copies lie where their originals lie, and nobody lies between two groups."""

import numpy as np
import pytest

from service.engine.layouts import STEPS
from service.engine.layouts import anchors as anchors_module
from service.engine.layouts.anchors import Anchors, Frame, Placer, keys_of

DIM = 16


def groups(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (n, D) around two directions, and places (n, 2) around two points."""
    of = rng.integers(2, size=count)
    centres = np.linalg.qr(rng.normal(size=(DIM, 2)))[0].T
    vectors = centres[of] + 0.05 * rng.normal(size=(count, DIM))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    places = np.array([[0.0, 0.0], [10.0, 0.0]])[of] + 0.3 * rng.normal(size=(count, 2))
    return vectors.astype(np.float32), places.astype(np.float32)


def anchors_of(vectors: np.ndarray, places: np.ndarray) -> Anchors:
    keys = np.arange(len(vectors), dtype=np.uint64)
    return Anchors(keys, vectors.astype(np.float16), places, Frame.around(places))


@pytest.mark.parametrize("exact_rows", [20_000, 100])
def test_an_anchor_lies_where_it_lay(exact_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anchors_module, "_EXACT_ROWS", exact_rows)
    vectors, places = groups(np.random.default_rng(1), 4000)
    placer = Placer(anchors_of(vectors, places))
    assert placer.dim == DIM
    found = placer.place(vectors)
    assert np.abs(found - places).max() < 0.01
    # Whatever else is placed along with it.
    np.testing.assert_allclose(placer.place(vectors[5:6])[0], found[5], atol=1e-5)


def test_a_newcomer_lies_with_the_nearer_group() -> None:
    vectors, places = groups(np.random.default_rng(2), 500)
    placer = Placer(anchors_of(vectors, places))
    left = vectors[places[:, 0] < 5].mean(0)
    right = vectors[places[:, 0] > 5].mean(0)
    for share, x in ((0.1, 0.0), (0.9, 10.0)):
        mixed = (1 - share) * left + share * right
        mixed /= np.linalg.norm(mixed)
        assert abs(placer.place(mixed[None].astype(np.float32))[0, 0] - x) < 2


def test_few_anchors_are_enough() -> None:
    vectors, places = groups(np.random.default_rng(3), 3)
    placer = Placer(anchors_of(vectors, places))
    assert np.isfinite(placer.place(groups(np.random.default_rng(4), 10)[0])).all()


def test_copies_that_lie_apart_have_their_copies_between_them() -> None:
    vector = np.zeros((2, DIM), np.float32)
    vector[:, 0] = 1
    placer = Placer(anchors_of(vector, np.array([[0, 0], [2, 0]], np.float32)))
    np.testing.assert_allclose(placer.place(vector[:1]), [[1, 0]])


def test_the_frame_stays_while_there_is_room() -> None:
    places = np.array([[0, 0], [4, 2]], np.float32)
    frame = Frame.around(places)
    steps = frame.steps(places)
    assert (steps > 0).all()
    assert (steps < STEPS).all()
    assert Frame.around(np.float32(0.5) * places, frame) == frame
    wider = Frame.around(np.float32(3) * places, frame)
    assert wider.size > frame.size
    far = frame.steps(np.array([[-100, 100]], np.float32))
    assert far.tolist() == [[0, STEPS]]
    assert Frame.around(np.ones((5, 2), np.float32)).size > 0


def test_keys_are_of_their_ids() -> None:
    first = keys_of(["a", "b", "夜"])
    assert first.dtype == np.uint64
    np.testing.assert_array_equal(first, keys_of(["a", "b", "夜"]))
    assert len({*first.tolist()}) == 3
    assert keys_of([]).shape == (0,)
