"""How sure a figure is: against naive loops, and on cases whose truth is known."""

import math

import numpy as np
import pytest

from training.evaluation.statistics import (
    bootstrap_means,
    difference,
    holm,
    percentiles,
    redrawn_seeds,
    redrawn_splits,
    standard_error,
)


def compare(values: np.ndarray, draws: int = 2000, seed: int = 0):
    """The first column against the second."""
    drawn = bootstrap_means(values, draws, seed)
    return difference(float(np.diff(values[:, ::-1]).mean()), drawn[:, 0] - drawn[:, 1])


def test_draws_are_means_of_the_queries_drawn_for_all_methods_alike():
    values = np.random.default_rng(0).random((23, 3))
    drawn = bootstrap_means(values, draws=100, seed=5)
    rng = np.random.default_rng(5)
    for start, size in ((0, 64), (64, 36)):
        for row, chosen in enumerate(rng.integers(23, size=(size, 23))):
            naive = [sum(values[query, m] for query in chosen) / 23 for m in range(3)]
            np.testing.assert_allclose(drawn[start + row], naive)


def test_seeds_are_drawn_anew_for_each_draw():
    rng = np.random.default_rng(7)
    drawn = np.repeat(np.array([[1.0, 2.0, 6.0]]), 20_000, axis=0)
    found = redrawn_seeds(drawn, rng)
    assert found.mean() == pytest.approx(3, abs=0.05)
    assert found.std() == pytest.approx(np.std([1, 2, 6]) / math.sqrt(3), rel=0.03)
    assert set(np.round(3 * found)) == {3, 4, 5, 6, 8, 9, 10, 13, 14, 18}
    np.testing.assert_array_equal(redrawn_seeds(drawn[:, :1], rng), drawn[:, 0])


def test_a_draw_counts_those_queries_alone_that_were_asked():
    values = np.random.default_rng(8).random((9, 2))
    values[4:, 1] = np.nan
    drawn = bootstrap_means(values, draws=50, seed=3)
    for row, chosen in enumerate(np.random.default_rng(3).integers(9, size=(50, 9))):
        asked = [values[query, 1] for query in chosen if query < 4]
        np.testing.assert_allclose(drawn[row, 1], np.mean(asked) if asked else np.nan)
    np.testing.assert_allclose(drawn[:, 0], bootstrap_means(values[:, :1], 50, 3)[:, 0])


def test_splits_are_drawn_anew_for_all_methods_alike():
    drawn = np.repeat(np.array([[[1.0, 10], [2, 20], [6, 60]]]), 20_000, axis=0)
    found = redrawn_splits(drawn, np.random.default_rng(7))
    np.testing.assert_allclose(found[:, 1], 10 * found[:, 0])
    assert found[:, 0].std() == pytest.approx(np.std([1, 2, 6]) / math.sqrt(3), rel=0.03)
    assert set(np.round(3 * found[:, 0])) == {3, 4, 5, 6, 8, 9, 10, 13, 14, 18}
    one = redrawn_splits(drawn[:, :1], np.random.default_rng(7))
    np.testing.assert_array_equal(one, drawn[:, 0])


def test_the_spread_of_splits_is_added_to_that_of_queries():
    rng = np.random.default_rng(9)
    levels, queries = rng.normal(0, 0.2, 12), 400
    values = levels + rng.normal(0, 1, (queries, 12))  # a query has nothing of its own
    drawn = bootstrap_means(values, 4000)[:, :, None]
    found = redrawn_splits(drawn, rng)[:, 0]
    of_splits, of_queries = values.mean(0).var() / 12, 1 / queries / 12
    assert found.var() == pytest.approx(of_splits + of_queries, rel=0.2)


def test_the_spread_of_the_draws_is_the_standard_error_of_a_mean():
    values = np.random.default_rng(1).normal(size=(400, 1))
    drawn = bootstrap_means(values, draws=4000)
    assert drawn.std() == pytest.approx(values.std() / 20, rel=0.05)
    low, high = percentiles(drawn[:, 0])
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.08)


def test_a_p_value_is_counted_as_a_naive_loop_counts():
    values = np.random.default_rng(2).random((30, 2))
    found = compare(values, draws=500)
    drawn = bootstrap_means(values, 500)
    seen = values[:, 0].mean() - values[:, 1].mean()
    extreme = sum(abs((a - b) - seen) >= abs(seen) for a, b in drawn)
    assert found.mean == pytest.approx(seen)
    assert found.p == pytest.approx((1 + extreme) / 501)
    assert (found.low, found.high) == percentiles(drawn[:, 0] - drawn[:, 1])


def test_a_true_difference_is_found_through_a_spread_of_the_queries_that_hides_it_unpaired():
    rng = np.random.default_rng(3)
    hard = rng.random(300)  # how hard a query is, for both
    values = np.stack([hard + 0.02 + rng.normal(0, 0.05, 300), hard], 1)
    found = compare(values)
    assert found.p < 0.01
    assert 0 < found.low < 0.02 < found.high
    assert percentiles(bootstrap_means(values[:, :1])[:, 0])[0] < values[:, 1].mean()


def test_without_a_difference_every_p_value_is_as_likely():
    rng = np.random.default_rng(4)
    p = np.array([compare(rng.normal(size=(60, 2)), 300, seed).p for seed in range(300)])
    for share in (0.05, 0.25, 0.5, 0.75):
        assert (p <= share).mean() == pytest.approx(share, abs=3 * math.sqrt(0.25 / 300))


def test_equal_methods_do_not_differ():
    values = np.repeat(np.random.default_rng(5).random((50, 1)), 2, axis=1)
    found = compare(values, 200)
    assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_one_query_is_enough_to_be_told_nothing_false():
    found = compare(np.array([[0.4, 0.4]]), 50)
    assert found.p == 1


def test_holm_agrees_with_an_example_worked_by_hand():
    # Sorted .005 .01 .03 .04, times 4 3 2 1: .02 .03 .06 .04, never falling: .02 .03 .06 .06.
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.6, 0.7]), [1, 1])
    np.testing.assert_allclose(holm([0.02]), [0.02])
    assert len(holm([])) == 0


def test_holm_keeps_the_order_of_evidence_and_never_flatters():
    p = np.random.default_rng(6).random(40) ** 3
    corrected = holm(p)
    assert (corrected >= p).all()
    assert (np.diff(corrected[np.argsort(p)]) >= 0).all()
    assert ((corrected <= 0.05) <= (p * 1 <= 0.05)).all()


def test_standard_error_over_seeds():
    assert standard_error([1.0, 2.0, 3.0]) == pytest.approx(1 / math.sqrt(3))
    assert math.isnan(standard_error([1.0]))


def test_a_difference_leaves_out_what_is_no_number():
    drawn = np.array([0.1, 0.2, 0.3])
    assert difference(0.2, np.append(drawn, np.nan)) == difference(0.2, drawn)


def test_intervals_leave_out_what_is_no_number():
    low, high = percentiles(np.array([1.0, np.nan, np.inf, 1.0]))
    assert (low, high) == (1, 1)
    assert math.isnan(percentiles(np.array([np.nan]))[0])
