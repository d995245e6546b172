"""Clusters and spreading, against their definitions."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engine.evidence.media_copies import SameMedia
from service.engine.spaces.geometry import unit_rows
from service.engine.work.lanes import run_to_end
from service.features.dedup.feed import spread
from service.features.dedup.grouping import Components, components, groups_of, join_pairs
from service.index.query import EQUAL


def test_components_are_those_of_all_pairs_over_the_threshold_across_blocks() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((2500, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[7] = 0  # shows nothing
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    found = run_to_end(components(vectors, 0.98))
    expected = np.arange(2500)
    for _ in range(2500):  # the smallest place spreads along the pairs until nothing changes
        near = np.where(cosines >= 0.98, expected[None, :], 2500).min(axis=1)
        if (near >= expected).all():
            break
        expected = np.minimum(near, expected)
    np.testing.assert_array_equal(found.labels(), expected)
    assert len(np.unique(expected)) not in (1, 2500)
    highest = np.where(cosines >= 0.98, cosines, -1).max(axis=1)
    np.testing.assert_allclose(found.best, highest, atol=1e-6)
    assert found.best[7] == -1


def test_equal_rows_are_joined_by_the_highest_threshold() -> None:
    """Whatever their products are rounded to."""
    vectors = unit_rows(np.random.default_rng(0).standard_normal((200, 256)).astype(np.float32))
    found = run_to_end(components(np.concatenate([vectors, vectors]), EQUAL))
    np.testing.assert_array_equal(found.labels(), [*range(200), *range(200)])


def nobody_joined(size: int) -> Components:
    return Components(np.arange(size), np.full(size, -1, np.float32), np.full(size, -1))


def test_groups_are_ordered_by_their_first_place() -> None:
    found = nobody_joined(6)
    found.join(np.array([4, 5, 2]), np.array([2, 0, 1]), np.ones(3, np.float32))
    assert groups_of(found) == [[0, 5], [1, 2, 4], [3]]


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(-4, 4)), max_size=25
        ),
        max_size=4,
    )
)
def test_pairs_join_as_one_after_the_other(batches) -> None:
    """However many come at once, and in whatever order."""
    found = nobody_joined(31)
    groups, best = [{place} for place in range(31)], [-1.0] * 31
    for batch in batches:
        pairs = np.array(batch, np.int64).reshape(-1, 3)
        found.join(pairs[:, 0], pairs[:, 1], (pairs[:, 2] / 4).astype(np.float32))
        for one, other, quarters in batch:
            both = groups[one] | groups[other]
            for place in both:
                groups[place] = both
            for place in (one, other):
                best[place] = max(best[place], quarters / 4)
    assert found.labels().tolist() == [min(group) for group in groups]
    assert found.best.tolist() == best


def test_a_hundred_thousand_pairs_are_joined_at_once() -> None:
    """One by one they took five seconds; the number of passes must not grow with them."""
    size = 20_000
    for order in (np.arange(size), np.random.default_rng(0).permutation(size)):
        found, parent = nobody_joined(size), np.arange(size).view(Counted)
        object.__setattr__(found, "parent", parent)  # it is frozen
        Counted.reads = 0
        found.join(np.tile(order[:-1], 5), np.tile(order[1:], 5), np.zeros(5 * (size - 1), "f4"))
        assert (np.asarray(found.labels()) == 0).all()
        assert Counted.reads < 200


class Counted(np.ndarray):
    """Counts how often parts of it are read."""

    reads = 0

    def __getitem__(self, key):
        Counted.reads += 1
        return np.asarray(super().__getitem__(key))


def test_spread_keeps_the_order_where_it_can() -> None:
    assert spread([[0], [1], [2]], 3, None).order == [0, 1, 2]
    assert spread([[0, 1], [2], [3]], 2, None).order == [0, 2, 1, 3]
    assert spread([[0], [1], [2, 3, 4]], 2, None).order == [2, 0, 3, 1, 4]


def test_spread_holds_back_and_counts_what_is_too_close() -> None:
    result = spread([[0, 1, 2], [3]], 3, 2)
    assert result.held_back == [2]
    assert sorted(result.order) == [0, 1, 3]
    assert result.too_close == 1


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=30),
    st.integers(2, 5),
    st.none() | st.integers(1, 4),
)
def test_spread_loses_nobody_and_keeps_apart_whenever_it_is_possible(labels, window, limit) -> None:
    groups: dict[int, list[int]] = {}
    for place, label in enumerate(labels):
        groups.setdefault(label, []).append(place)
    result = spread(list(groups.values()), window, limit)
    assert sorted([*result.order, *result.held_back]) == list(range(len(labels)))
    kept = {label: [p for p in result.order if labels[p] == label] for label in groups}
    assert all(places == sorted(places) for places in kept.values())  # stable within a cluster
    if limit is not None:
        assert all(len(places) <= limit for places in kept.values())
    where = {place: i for i, place in enumerate(result.order)}
    violations = sum(
        where[b] - where[a] < window for places in kept.values() for a, b in pairwise(places)
    )
    assert (violations == 0) == (result.too_close == 0)
    counts = sorted((len(places) for places in kept.values()), reverse=True)
    most = counts[0] if counts else 0
    tied = counts.count(most)
    feasible = (most - 1) * window + tied <= len(result.order)  # task scheduling with a cool-down
    if feasible:
        assert result.too_close == 0


def test_places_are_joined_by_other_evidence_as_well() -> None:
    vectors = np.eye(5, dtype=np.float32)
    vectors[1] = vectors[0]
    found = run_to_end(components(vectors, 0.9))
    copies = join_pairs(found, vectors, [SameMedia(1, 3, 2), SameMedia(3, 4, 5)])
    assert groups_of(found) == [[0, 1, 3, 4], [2]]
    assert found.best.tolist() == [1, 1, -1, 0, 0]
    assert copies.tolist() == [0, 2, 0, 5, 5]
