"""Neighbours of streamers are packed, joined and restricted as lists of numbers would be."""

import zlib

import numpy as np
import pytest

from service.engine.spaces.chunk_codec import DamagedChunk
from service.engine.spaces.streamer_neighbours import (
    StreamerNeighbours,
    packed_neighbours,
    shares_of,
    unpacked_neighbours,
)

Lists = list[list[tuple[int, float]]]


def drawn(count: int, seed: int = 0) -> Lists:
    """Lists of up to five neighbours of each of `count` streamers, and their weights."""
    draw = np.random.default_rng(seed)
    lists: Lists = []
    for row in range(count):
        others = [other for other in draw.permutation(count)[:6].tolist() if other != row]
        lists.append([(other, float(draw.uniform(1, 9))) for other in others[: draw.integers(6)]])
    return lists


def chunk_of(lists: Lists, begin: int, end: int) -> bytes:
    part = lists[begin:end]
    lengths = np.array([len(each) for each in part])
    told = [pair for each in part for pair in each]
    rows = np.array([row for row, _ in told], np.int64)
    weights = np.array([weight for _, weight in told])
    return packed_neighbours(np.arange(begin, end), lengths, rows, shares_of(weights, lengths))


def shares(lists: Lists) -> Lists:
    return [[(row, w / max(v for _, v in each)) for row, w in each] for each in lists]


def check(found: StreamerNeighbours, expected: Lists) -> None:
    assert found.having.tolist() == [bool(each) for each in expected]
    for row, each in enumerate(expected):
        rows, values = found.of(row)
        assert rows.tolist() == [other for other, _ in each]
        np.testing.assert_allclose(values, [share for _, share in each], rtol=1e-3)


def test_what_was_packed_in_parts_is_joined() -> None:
    lists = drawn(50)
    parts = [unpacked_neighbours(chunk_of(lists, begin, begin + 20)) for begin in (0, 20)]
    parts.append(unpacked_neighbours(chunk_of(lists, 40, 50)))
    check(StreamerNeighbours.joined(parts), shares(lists))


@pytest.mark.parametrize("gone", [0, 7, 19, 20, 49])
def test_whoever_is_erased_is_nobodys_neighbour(gone: int) -> None:
    lists = drawn(50)
    parts = [
        unpacked_neighbours(chunk_of(lists, 0, 20)),
        unpacked_neighbours(chunk_of(lists, 20, 50)),
    ]
    first = gone < 20
    changed = parts[0 if first else 1].without(gone if first else gone - 20)
    parts[0 if first else 1] = unpacked_neighbours(changed)
    left = [
        [(row - (row > gone), share) for row, share in each if row != gone]
        for own, each in enumerate(shares(lists))
        if own != gone
    ]
    check(StreamerNeighbours.joined(parts), left)


def test_neighbours_among_some() -> None:
    lists = drawn(40)
    whole = StreamerNeighbours.joined([unpacked_neighbours(chunk_of(lists, 0, 40))])
    rows = np.flatnonzero(np.random.default_rng(3).random(40) < 0.6)
    place = {row: i for i, row in enumerate(rows.tolist())}
    left = [
        [(place[row], share) for row, share in shares(lists)[own] if row in place] for own in place
    ]
    check(whole.among(rows), left)
    check(whole.among(rows[:0]), [])


def test_the_heaviest_of_each() -> None:
    lists = drawn(40)
    whole = StreamerNeighbours.joined([unpacked_neighbours(chunk_of(lists, 0, 40))])
    assert whole.heaviest(5) is whole
    left = []
    for each in shares(lists):
        least = sorted((share for _, share in each), reverse=True)[:2][-1:]
        left.append([(row, share) for row, share in each if share >= least[0]])
    check(whole.heaviest(2), left)


def test_shares_are_of_the_largest_weight_and_never_nothing() -> None:
    lengths = np.array([2, 0, 1, 3])
    found = shares_of(np.array([4.0, 2.0, 1e-300, 1e300, 1.0, 3e299]), lengths)
    np.testing.assert_allclose(found, [1, 0.5, 1, 1, 2.0**-24, 0.3], rtol=1e-3)
    assert len(shares_of(np.zeros(0), np.zeros(4, np.int64))) == 0


def test_a_damaged_chunk_is_no_chunk() -> None:
    lists = drawn(10)
    whole = chunk_of(lists, 0, 10)
    data = zlib.decompress(whole)
    with pytest.raises(DamagedChunk, match="end in the middle"):
        unpacked_neighbours(zlib.compress(data[:-1]))
    with pytest.raises(DamagedChunk, match=r"can't be unpacked|in the middle"):
        unpacked_neighbours(whole[:-3])
    with pytest.raises(DamagedChunk, match="from 0 to 1"):
        unpacked_neighbours(zlib.compress(data[:-2] + np.array(2, "<f2").tobytes()))
    with pytest.raises(DamagedChunk, match="belong to nobody"):
        unpacked_neighbours(zlib.compress(data[:8] + data[12:16] + data[8:12] + data[16:]))
    part = unpacked_neighbours(whole)
    with pytest.raises(DamagedChunk, match="order"):
        StreamerNeighbours.joined([part, part])
