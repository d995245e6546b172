"""What is packed comes back; what is not ours gives nothing; the oldest make room."""

from collections.abc import Mapping

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.engine.encoding.tower_vectors import Key, Seen, TowerCache, Vector, pack, unpack

ONE, OTHER = bytes(range(32)), bytes(range(32, 64))


def vectors(count: int, width: int = 4, version: bytes = ONE) -> dict[Key, Vector]:
    rows = np.random.default_rng(count).standard_normal((count, width)).astype(np.float16)
    return {(version, i.to_bytes(16, "big")): row for i, row in enumerate(rows)}


def same(found: Mapping[Key, Vector], expected: Mapping[Key, Vector]) -> bool:
    return found.keys() == expected.keys() and all(
        np.array_equal(found[key], expected[key]) for key in expected
    )


def test_what_towers_saw_comes_back() -> None:
    given = {**vectors(3), **vectors(2, 7, OTHER)}
    addresses = {ONE: OTHER, OTHER: ONE}
    packed = pack(Seen(given, addresses))
    found = unpack(packed)
    assert same(found.vectors, given)
    assert found.addresses == addresses
    assert len(packed) == 3 + 2 * 64 + 2 * 36 + 5 * 16 + 2 * (3 * 4 + 2 * 7)
    assert unpack(pack(Seen({}, addresses))).addresses == addresses
    assert pack(Seen()) == b""
    assert same(unpack(b"").vectors, {})


@given(st.binary(max_size=200), st.integers(0, 250))
def test_what_is_no_such_thing_gives_nothing_or_whole_vectors(rest: bytes, cut: int) -> None:
    packed = pack(Seen(vectors(3), {ONE: OTHER}))
    if cut not in (67, len(packed)) and cut < len(packed):  # 67: nothing after the addresses
        assert unpack(packed[:cut]).vectors == {}
        assert unpack(packed[:cut]).addresses == {}
    for vector in unpack(b"\1" + rest).vectors.values():
        assert vector.dtype == np.float16
    assert unpack(b"\2" + packed[1:]).vectors == {}


def test_the_oldest_make_room() -> None:
    recent = TowerCache(10 * 408)
    given = vectors(12)
    keys = list(given)
    for key in keys[:10]:
        recent.put(key, given[key])
    assert recent.get(keys[0]) is not None  # now the latest
    for key in keys[10:]:
        recent.put(key, given[key])
    assert len(recent) == 10
    assert [recent.get(keys[i]) is None for i in (0, 1, 2, 3)] == [False, True, True, False]
    recent.put(keys[0], given[keys[0]])  # a second time takes no more room
    assert len(recent) == 10


def test_none_is_kept_where_there_is_no_room() -> None:
    recent = TowerCache(0)
    ((key, vector),) = vectors(1).items()
    recent.put(key, vector)
    assert recent.get(key) is None
