"""Users are filtered as streamers are, by columns."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.spaces.chunk_codec import DamagedChunk
from service.engine.spaces.user_attributes import (
    MOST_NAMES,
    MOST_TEXT_BYTES,
    MOST_TEXTS,
    AttributesRead,
    TooManyValues,
    UserAttributes,
    without_row,
)
from service.index.faiss.rows.attributes import let_through
from service.index.filters import Condition, Filter

VALUES = st.sampled_from(["a", "b", "观众", "", True, False, 0, 1, 1.0, 2.5, -3, 1 << 53])
NAMES = st.sampled_from(["x", "y", "attributes.z"])
USERS = st.lists(st.dictionaries(st.sampled_from(["x", "y", "z"]), VALUES), max_size=30)
NUMBERS = st.none() | st.sampled_from([-3, 0.0, 1, 2.5, (1 << 53) + 1])
CONDITIONS = st.builds(
    Condition,
    NAMES,
    any=st.none() | st.lists(VALUES, min_size=1, max_size=3),
    all=st.none() | st.lists(VALUES, min_size=1, max_size=2),
    gt=NUMBERS,
    gte=NUMBERS,
    lt=NUMBERS,
    lte=NUMBERS,
)
FILTERS = st.builds(Filter, st.lists(CONDITIONS, max_size=3), st.lists(CONDITIONS, max_size=2))


def of(users: list[dict[str, Any]], rows_of_chunk: int = 7) -> UserAttributes:
    """Attributes that were read, packed and put, as those of a hand-over are."""
    read = AttributesRead()
    for row, attributes in enumerate(users):
        read.put(row, attributes)
    made = UserAttributes(len(users))
    for begin in range(0, len(users), rows_of_chunk):
        end = min(begin + rows_of_chunk, len(users))
        assert made.put(begin, read.packed(begin, end)) in (0, end - begin)
    return made


@pytest.mark.slow
@given(USERS, FILTERS)
def test_the_same_pass_as_of_streamers(users: list[dict[str, Any]], wanted: Filter) -> None:
    made = of(users)
    streamers = [(str(i), {"attributes": attributes}) for i, attributes in enumerate(users)]
    passing, unknown = let_through(wanted, streamers)
    assert made.mask(wanted).tolist() == passing
    assert made.unknown(wanted) == unknown


@pytest.mark.slow
@given(USERS.filter(lambda users: len(users) > 1), st.randoms())
def test_a_chunk_without_one_of_its_users(users: list[dict[str, Any]], random: Any) -> None:
    read = AttributesRead()
    for row, attributes in enumerate(users):
        read.put(row, attributes)
    gone = random.randrange(len(users))
    left = UserAttributes(len(users) - 1)
    left.put(0, without_row(read.packed(0, len(users)), gone))
    expected = of(users[:gone] + users[gone + 1 :])
    for name in ("x", "y", "z"):
        for value in ("a", "观众", True, 1, 2.5):
            wanted = Filter([Condition(name, any=[value])])
            assert left.mask(wanted).tolist() == expected.mask(wanted).tolist()


def test_many_different_texts_take_two_bytes_and_stay_apart() -> None:
    users = [{"city": f"city {i % 700}"} for i in range(2000)]
    made = of(users, 300)
    wanted = Filter([Condition("city", any=["city 3", "city 699", "city 700"])])
    assert np.flatnonzero(made.mask(wanted)).tolist() == [
        i for i in range(2000) if i % 700 in (3, 699)
    ]
    kept = made.kept(np.copy)
    assert kept.mask(wanted).tolist() == made.mask(wanted).tolist()


def test_there_are_no_more_than_are_kept() -> None:
    read = AttributesRead()
    read.put(0, {f"a{i}": i for i in range(MOST_NAMES)})
    with pytest.raises(TooManyValues, match=f"more than {MOST_NAMES} different attributes, 'b'"):
        read.put(1, {"b": 1})
    read = AttributesRead()
    for row in range(MOST_TEXTS):
        read.put(row, {"name": f"user {row}"})
    with pytest.raises(TooManyValues, match="'name' has more than 65535 different texts"):
        read.put(MOST_TEXTS, {"name": "one more"})


@pytest.mark.slow
def test_all_texts_together_are_bounded_and_fit_into_a_chunk() -> None:
    read = AttributesRead()
    count = MOST_TEXT_BYTES // 500
    for row in range(count):  # characters that take most in a chunk
        read.put(row, {f"a{row % 2}": f"{row:06}" + "\1" * 494})
    read.put(count, {"a0": "000000" + "\1" * 494, "a1": True, "a2": 1.5})  # nothing new
    made = UserAttributes(count + 1)
    assert made.put(0, read.packed(0, count + 1)) == count + 1
    with pytest.raises(TooManyValues, match=r"'a1' brings .* more than 16 MiB: .* leave it out"):
        read.put(count + 1, {"a1": "观" * 500})


def test_damaged_chunks() -> None:
    read = AttributesRead()
    read.put(0, {"x": "a", "y": 1})
    whole = read.packed(0, 1)
    with pytest.raises(DamagedChunk):
        UserAttributes(1).put(0, whole[:-1])
    with pytest.raises(DamagedChunk, match="more users than 0"):
        UserAttributes(0).put(0, whole)
