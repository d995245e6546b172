"""Shared keys and vectors of many pairs at once, against plain comparisons of each pair."""

import base64
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from model_export.contract.evidence.channels import rare_from
from model_export.contract.evidence.keys import Frequencies, as_hashes
from model_export.contract.evidence.shared_keys import KeySets
from model_export.contract.evidence.shared_vectors import vector_sets

KEYS = st.sampled_from([0, 1, 2, 3, 2**16, 2**16 + 1, 2**31, 2**32 - 2, 2**32 - 1])
SETS = st.frozensets(KEYS | st.integers(0, 2**32 - 1), max_size=12)
SIDES = st.lists(st.tuples(SETS, SETS, SETS), min_size=1, max_size=8)
WORTH = Frequencies.of({0: 50, 1: 2, 2: 90, 2**16: 9, 2**31: 3, 2**32 - 1: 40}, 100)


def every_pair(size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    places = np.arange(size)
    return np.repeat(places, size), np.tile(places, size)


@given(SIDES, st.integers(0, 2**32 - 1))
def test_shared_keys(sides: Sequence[tuple[frozenset[int], ...]], limit: int) -> None:
    names = ("text", "names", "tags")
    keys = [np.concatenate([as_hashes(some) for some in side]) for side in sides]
    sizes = np.array([[len(some) for some in side] for side in sides])
    worth = WORTH.table()
    sets = KeySets(keys, sizes, names, worth)
    one, other = every_pair(len(sides))
    one, other = one[one != other], other[one != other]
    found = sets.overlaps(one, other)
    for channel, name in enumerate(names):
        limits = np.full(len(one), limit, np.uint64)
        totals = sets.totals(name, one, limits)
        for row, (a, b) in enumerate(zip(one.tolist(), other.tolist(), strict=True)):
            bits = worth(as_hashes(sides[a][channel] & sides[b][channel]))
            overlap = found[name]
            assert overlap.count[row] == len(bits)
            assert overlap.rare[row] == (bits >= rare_from(name, worth.unknown_bits)).sum()
            assert overlap.bits[row] == pytest.approx(bits.sum(), abs=1e-3)
            kept = worth(as_hashes(key for key in sides[a][channel] if key <= limit))
            assert totals[row] == pytest.approx(kept.sum(), abs=1e-3)
        assert sets.sizes(name).tolist() == [len(side[channel]) for side in sides]


def test_worth_of_keys() -> None:
    table = dict(zip(*(known.tolist() for known in _listed(WORTH)), strict=True))
    asked = as_hashes([0, 1, 2, 3, 2**16, 2**16 + 1, 2**31, 2**32 - 2, 2**32 - 1])
    expected = [table.get(key, WORTH.unknown_bits) for key in asked.tolist()]
    assert WORTH.table()(asked).tolist() == pytest.approx(expected, abs=1e-6)
    nothing = Frequencies(documents=0, unknown_bits=3).table()
    assert nothing(asked).tolist() == [3.0] * len(asked)


def _listed(frequencies: Frequencies) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    keys, bits = (base64.b64decode(text) for text in (frequencies.keys, frequencies.bits))
    return np.frombuffer(keys, "<u4"), np.frombuffer(bits, "u1") / 8


def test_shared_vectors() -> None:
    rng = np.random.default_rng(3)
    pool = rng.normal(size=(6, 8)).astype(np.float32)
    pool /= np.linalg.norm(pool, axis=1, keepdims=True)
    sides: list[dict[str, NDArray[np.float32]]] = []
    for _ in range(30):
        spaces = [space for space in ("clip", "other") if rng.random() < 0.7]
        sides.append({s: pool[rng.integers(0, 6, rng.integers(1, 4))] for s in spaces})
    sides.append({"clip": pool[:2, :4] / np.linalg.norm(pool[:2, :4], axis=1, keepdims=True)})
    one, other = every_pair(len(sides))
    order = rng.permutation(len(one))
    one, other = one[order], other[order]
    sets = vector_sets(sides)
    found = np.sum([each.same(one, other, 0.98) for each in sets], 0)
    known = np.any([each.has[one] & each.has[other] for each in sets], 0)
    for row, (a, b) in enumerate(zip(one.tolist(), other.tolist(), strict=True)):
        expected, comparable = 0, False
        for space in sides[a].keys() & sides[b].keys():
            ours, theirs = sides[a][space], sides[b][space]
            if ours.shape[1] == theirs.shape[1]:
                same = ours @ theirs.T >= 0.98
                expected += min(int(same.any(1).sum()), int(same.any(0).sum()))
                comparable = True
        assert (found[row], known[row]) == (expected, comparable)
    assert vector_sets([{}, {}]) == []
    (alone,) = vector_sets([{"clip": pool}, {}])
    assert alone.same(np.array([0]), np.array([1]), 0.98).tolist() == [0]
