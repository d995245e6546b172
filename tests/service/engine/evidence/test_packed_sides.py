"""Sides that are read from their file are those that were put."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from model_export.contract.evidence import KEYED, NO_LETTERS, VECTOR_KEYS, Side
from service.engine.evidence.packed_sides import PackedSides, pack

keys = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=5, unique=True).map(
    lambda some: np.array(sorted(some), np.uint32)
)


def vectors(count: int, width: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)


sides = st.builds(
    Side,
    keys=st.dictionaries(st.sampled_from([*KEYED, VECTOR_KEYS]), keys, max_size=4),
    name=st.none() | st.integers(0, 2**32 - 1),
    limit=st.integers(0, 2**32 - 1),
    vectors=st.dictionaries(
        st.sampled_from(["clip", "sounds", "图像"]),
        st.builds(vectors, st.integers(1, 3), st.integers(1, 4), st.integers(0, 9)),
    ),
    embedding=st.none() | st.integers(0, 9).map(lambda seed: vectors(1, 8, seed)[0]),
    script=st.integers(NO_LETTERS, 10),
)


def assert_same(one: Side, other: Side) -> None:
    assert (one.name, one.limit, one.script) == (other.name, other.limit, other.script)
    assert one.keys.keys() == other.keys.keys()
    for channel in one.keys:
        np.testing.assert_array_equal(one.of(channel), other.of(channel))
    assert list(one.vectors) == list(other.vectors)
    for ours, theirs in zip(one.vectors.values(), other.vectors.values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (one.embedding is None) == (other.embedding is None)
    if one.embedding is not None and other.embedding is not None:
        np.testing.assert_array_equal(one.embedding, other.embedding)


@pytest.mark.slow
@given(st.lists(st.tuples(st.sampled_from("abcd"), sides), min_size=1, max_size=8))
def test_the_last_side_of_a_streamer_is_read(puts: list[tuple[str, Side]]) -> None:
    packed = PackedSides()
    for place, (name, side) in enumerate(puts):
        packed.put(name, pack(side))
        if place % 3 == 0:
            assert_same(packed.get(name), side)
    known = dict(puts)
    for name in "abcd":
        assert (name in packed) == (name in known)
        if name in known:
            assert_same(packed.get(name), known[name])
    packed.close()


def test_a_side_stays_readable_and_nothing_is_left_in_the_folder(tmp_path: Path) -> None:
    packed = PackedSides(tmp_path)
    packed.put("a", pack(Side({"text": np.array([1, 2], np.uint32)}, 7)))
    side = packed.get("a")
    packed.close()
    assert list(tmp_path.iterdir()) == []
    assert side.of("text").tolist() == [1, 2]
    with pytest.raises(KeyError):
        packed.get("a")
