"""Distinct matches: exact while they are few, near enough when they are many, each counted once."""

from service.features.watchlists.alerts.distinct import DISTINCT, MOST, Distinct


def test_few_are_counted_exactly_and_once() -> None:
    counted = Distinct(1)
    for i in range(MOST - 1):
        counted = counted.plus(f"al-{i}")
        assert counted.count == i + 1
    for i in range(MOST - 1):
        assert counted.plus(f"al-{i}") is counted
    assert DISTINCT.validate_json(counted.dump()) == counted
    assert counted.minus("al-0").count == MOST - 2
    assert counted.minus("al-0").plus("al-0") == counted
    assert counted.minus("somebody") is counted


def test_many_are_estimated_in_bounded_memory() -> None:
    counted = Distinct(1)
    for i in range(50_000):
        counted = counted.plus(f"al-{i}")
    assert 45_000 < counted.count < 55_000
    assert len(counted.dump()) < 17_000
    assert len(counted.least) == MOST
    again = counted
    for i in range(50_000):
        again = again.plus(f"al-{i}")
    assert again is counted
