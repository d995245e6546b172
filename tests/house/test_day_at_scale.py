"""The computed day follows from the costs: queues, cores that are lost, a re-encoding."""

import math
from dataclasses import replace

import pytest

from tests.benchmarks.day_at_scale import COSTS, PEAK, Plan, capacity, daily, day, waiting


@pytest.mark.parametrize("load", [0.1, 0.5, 0.9])
def test_one_core_is_the_queue_of_the_books(load: float) -> None:
    assert waiting(load, 1) == pytest.approx(load * load / (1 - load))


def test_more_cores_wait_less_and_too_few_for_ever() -> None:
    assert waiting(7.2, 16) < waiting(7.2, 9) < waiting(7.2, 8)
    # Erlang's table: 8 erlangs for 10 servers wait with probability 0.409.
    assert waiting(8.0, 10) == pytest.approx(0.409 * 8 / 2, rel=0.01)
    assert waiting(10.0, 10) == math.inf


def test_a_day_has_the_mean_that_was_given() -> None:
    mean = sum(daily(minute / 60) for minute in range(24 * 60)) / (24 * 60)
    assert mean == pytest.approx(1.0)
    assert max(map(daily, range(24))) == pytest.approx(PEAK)


def test_a_reencoding_takes_as_long_as_its_slowest_part() -> None:
    plan = Plan(streamers=10e6, writes=0.0, reencode_at=0, lose_at=None)
    hours = list(day(plan, COSTS))
    per_hour = COSTS["project_rows"].value * 3600
    assert per_hour > plan.streamers
    assert hours[0].left == 0.0
    slow = {**COSTS, "project_rows": replace(COSTS["project_rows"], value=1000.0)}
    left = [hour.left for hour in day(plan, slow)]
    assert left[:3] == [pytest.approx(10e6 - 3.6e6 * i) for i in (1, 2)] + [0.0]


def test_what_is_lost_has_a_queue() -> None:
    plan = Plan(reencode_at=None)
    kept, lost = list(day(replace(plan, lose_at=None), COSTS)), list(day(plan, COSTS))
    assert kept[:20] == lost[:20]
    assert lost[21].search == pytest.approx(kept[21].search * plan.nodes / (plan.nodes - 1))
    assert lost[21].backlog > 0.0 == kept[21].backlog


def test_capacity_is_linear_where_costs_are() -> None:
    small, large = (capacity(n, Plan(), COSTS) for n in (10e6, 100e6))
    assert large["store_gb"] == pytest.approx(10 * small["store_gb"])
    assert large["start_of_a_service_h"] == pytest.approx(10 * small["start_of_a_service_h"])
    assert large["most_writes_during_a_start"] == pytest.approx(
        small["most_writes_during_a_start"] / 10
    )
    assert large["query_nodes"] > small["query_nodes"]
