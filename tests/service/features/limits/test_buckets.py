"""Token buckets: what is taken, what comes back with time, and what is owed."""

import random

import pytest

from service.features.limits.buckets import Bucket, Policy

TEN_A_SECOND = Policy("search", 100, 10)


def left(bucket: Bucket, now: float) -> float:
    return bucket.left_and_wait(now)[0]


def wait_s(bucket: Bucket, now: float) -> float:
    return bucket.left_and_wait(now)[1]


def test_a_bucket_begins_full_and_fills_by_time() -> None:
    bucket = Bucket(TEN_A_SECOND)
    assert left(bucket, 0.0) == pytest.approx(100, abs=0.01)
    bucket.take_units(40, 0.0)
    for now, units in ((0.0, 60), (1.0, 70), (4.0, 100), (1000.0, 100)):
        assert left(bucket, now) == pytest.approx(units, abs=0.01)


def test_what_is_taken_beyond_is_owed() -> None:
    bucket = Bucket(TEN_A_SECOND)
    bucket.take_units(250, 5.0)
    assert left(bucket, 5.0) == pytest.approx(-150, abs=0.01)
    assert wait_s(bucket, 5.0) == pytest.approx(15.1)
    assert left(bucket, 5.0 + wait_s(bucket, 5.0)) >= 1
    assert left(bucket, 5.0 + wait_s(bucket, 5.0) - 0.01) < 1
    assert bucket.owed_s(30.0) == 0


def test_with_units_left_one_more_comes_in_the_time_of_one() -> None:
    bucket = Bucket(TEN_A_SECOND)
    assert wait_s(bucket, 0.0) == pytest.approx(0.1)
    bucket.take_units(50, 0.0)
    assert wait_s(bucket, 0.0) == pytest.approx(0.1)


@pytest.mark.parametrize("policy", [TEN_A_SECOND, Policy("cases", 7, 60), Policy("cases", 1, 3600)])
def test_never_more_than_the_bucket_and_what_fills_it(policy: Policy) -> None:
    """Over any time of T seconds: at most `units` and T / unit_s of them, taken one at a time."""
    rng, bucket, now = random.Random(5), Bucket(policy), 1_000_000.0
    taken: list[float] = []
    for _ in range(2000):
        now += rng.random() * policy.unit_s * rng.choice((0, 0, 1, 3))
        if left(bucket, now) >= 1:
            bucket.take_units(1, now)
            taken.append(now)
    assert len(taken) > 20
    for first in range(0, len(taken), 7):
        for last in range(first, len(taken)):
            allowed = policy.units + (taken[last] - taken[first]) / policy.unit_s
            assert last - first + 1 <= allowed + 0.01


@pytest.mark.parametrize("units", [1, 3, 7, 10, 49, 600])
def test_rounding_never_takes_the_last_unit(units: int) -> None:
    bucket = Bucket(Policy("search", units, 60))
    for _ in range(units):
        assert left(bucket, 1e6) >= 1
        bucket.take_units(1, 1e6)
    assert left(bucket, 1e6) < 1


def test_the_policy_as_the_header_tells_it() -> None:
    assert Policy("streamers:read", 6000, 60).text == b'"streamers:read";q=6000;w=60'
