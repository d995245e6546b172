"""Bounds of filters, number by number."""

import itertools
import operator
from collections.abc import Callable

import numpy as np
import pytest

from service.index.filters import Condition, within

EDGE = 2**53
VALUES = [-2.0 * EDGE, -EDGE, -0.5, 0, 7, EDGE - 1, EDGE, EDGE + 2, 2.0**60]
BOUNDS = [-EDGE - 1, -EDGE, 0, 0.5, 7, EDGE - 1, float(EDGE), EDGE + 1, EDGE + 2, EDGE + 3]


@pytest.mark.parametrize(
    ("bounded", "compare"),
    [
        (lambda bound: Condition("x", gt=bound), operator.gt),
        (lambda bound: Condition("x", gte=bound), operator.ge),
        (lambda bound: Condition("x", lt=bound), operator.lt),
        (lambda bound: Condition("x", lte=bound), operator.le),
    ],
    ids=["gt", "gte", "lt", "lte"],
)
@pytest.mark.parametrize("bound", BOUNDS)
def test_a_bound_is_compared_as_it_is(
    bounded: Callable[[float], Condition], compare: Callable[[float, float], bool], bound: float
) -> None:
    kept = within(np.array([*VALUES, np.nan]), bounded(bound))
    assert kept.tolist() == [*(compare(value, bound) for value in VALUES), False]


@pytest.mark.parametrize(("least", "most"), list(itertools.pairwise(BOUNDS)))
def test_both_bounds_hold(least: float, most: float) -> None:
    kept = within(np.array(VALUES, np.float64), Condition("x", gt=least, lte=most))
    assert kept.tolist() == [least < value <= most for value in VALUES]
