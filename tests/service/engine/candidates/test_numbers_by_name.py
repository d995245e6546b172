"""Numbers by name are those of a dict, in a fraction of its memory."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.candidates.numbers_by_name import MOST, NumbersByName

NAMES = [f"streamer-{i}" for i in range(40)]
CHANGES = st.lists(st.tuples(st.sampled_from(NAMES), st.booleans()), max_size=200)


@given(CHANGES)
def test_same_as_a_dict(changes: list[tuple[str, bool]]) -> None:
    names: list[str] = []
    numbers, expected = NumbersByName(names.__getitem__), dict[str, int]()
    for name, is_put in changes:
        if is_put:
            names.append(name)
            numbers.put(name, len(names) - 1)
            expected[name] = len(names) - 1
        else:
            assert numbers.pop(name) == expected.pop(name, None)
        assert len(numbers) == len(expected)
    assert {name: numbers.get(name) for name in NAMES} == {n: expected.get(n) for n in NAMES}


def test_names_of_one_hash_and_the_largest_number() -> None:
    class Same(str):
        __slots__ = ()

        def __hash__(self) -> int:
            return 7

    some = {Same(f"s{i}"): MOST - i for i in range(30)}
    numbers = NumbersByName({number: name for name, number in some.items()}.get)
    for name, number in some.items():
        numbers.put(name, number)
    assert {name: numbers.get(name) for name in some} == some
    assert numbers.get(Same("another")) is None
    assert set(numbers.likely(Same("another"))) == set(some.values())
    assert list(numbers.likely("s1")) == []  # its hash is another one
    for name in list(some)[::2]:
        assert numbers.pop(name) == some.pop(name)
    assert {name: numbers.get(name) for name in some} == some


@pytest.mark.slow
def test_memory() -> None:
    count = 20_000
    names = [f"streamer-{i}" for i in range(count)]
    tracemalloc.start()
    try:
        numbers = NumbersByName(names.__getitem__)
        for number, name in enumerate(names):
            numbers.put(name, number)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held <= 40 * count
    assert all(numbers.get(name) == number for number, name in enumerate(names))
