"""Agreement, flips and thresholds of equal precision, against a count by hand."""

import random
from collections.abc import Sequence

import numpy as np
import pytest

from service.features.cases.records import Query
from service.features.models.comparing.decisions import Decision, agreement, flips, recalibrated
from service.features.models.comparing.limits import GateLimits, outcomes, status_of
from service.features.models.comparing.neighbours import skewness
from service.features.models.comparing.records import Agreement, Mean, RatedQuestions
from service.features.models.comparing.replaying import along, best
from service.features.models.comparing.sampling import HashSample

LIMITS = GateLimits(10, 5, 0.05, 0.05, 60)
NOTHING = RatedQuestions(0, 0, 0, 10, 100)


def decided(is_match: bool, before: float, after: float, at: float = 0.5) -> Decision:
    said = "same" if is_match else "different"
    return Decision(("a", "b"), "", said, is_match, before, after, at, at)


def drawn(count: int, seed: int) -> list[Decision]:
    rng = random.Random(seed)
    scores = [rng.randrange(20) / 20 for _ in range(2 * count)]  # many are equal
    return [
        decided(rng.random() < 0.6, before, after)
        for before, after in zip(scores[:count], scores[count:], strict=True)
    ]


def precision(decisions: Sequence[Decision], at: float) -> float | None:
    """Of the next model from a probability on."""
    found = [each.is_match for each in decisions if each.after >= at]
    return sum(found) / len(found) if found else None


@pytest.mark.parametrize("seed", range(20))
def test_the_threshold_of_equal_precision_is_the_lowest(seed: int) -> None:
    decisions = drawn(40, seed)
    (found,) = recalibrated("judgements", decisions, 10)
    right = [each.is_match for each in decisions if each.before >= 0.5]
    wanted = sum(right) / len(right)
    assert found.precision_before == pytest.approx(wanted, abs=1e-6)
    reach = [
        each.after
        for each in decisions
        if each.after > 0 and (precision(decisions, each.after) or 0) >= wanted - 1e-9
    ]
    assert found.threshold_equal == (min(reach) if reach else None)
    if reach:
        matched = [e for e in decisions if e.is_match and e.after >= min(reach)]
        recall = len(matched) / sum(e.is_match for e in decisions)
        assert found.recall_equal == pytest.approx(recall, abs=1e-6)


def test_thresholds_are_told_apart_and_need_enough_decisions() -> None:
    some = [
        decided(True, 0.9, 0.9, at) for at, count in ((0.5, 12), (0.8, 9)) for _ in range(count)
    ]
    assert [each.threshold_before for each in recalibrated("alerts", some, 10)] == [0.5]
    assert [each.decisions for each in recalibrated("alerts", some, 9)] == [12, 9]


def test_what_flips_is_counted_and_the_lost_come_first() -> None:
    decisions = [
        decided(True, 0.9, 0.8),
        decided(True, 0.9, 0.1),
        decided(True, 0.6, 0.4),
        decided(False, 0.7, 0.2),
        decided(False, 0.1, 0.2),
    ]
    found = agreement("judgements", decisions, stored=7, missing=2)
    assert found == Agreement("judgements", 7, 5, 2, 4, 3, 2, 1)
    listed = flips("judgements", decisions)
    assert [(each.before, each.after, each.is_lost) for each in listed] == [
        (0.9, 0.1, True),
        (0.6, 0.4, True),
        (0.7, 0.2, False),
    ]


@pytest.mark.parametrize(
    ("after", "status"), [(100, "passed"), (95, "passed"), (94, "failed"), (110, "passed")]
)
def test_a_model_may_lose_as_much_as_the_limit(after: int, status: str) -> None:
    found = Agreement("verdicts", 120, 120, 0, 101, after + 1, 0, 0)
    (judged, *_) = outcomes([found], NOTHING, GateLimits(10, 5, 5 / 120, 0.05, 60))
    assert (judged.status, judged.kind) == (status, "verdicts")


def test_too_little_is_no_measure_and_nothing_at_all_is_told_apart() -> None:
    few = Agreement("alerts", 9, 9, 0, 9, 0, 9, 0)
    rated = RatedQuestions(4, 4, 0, 10, 100, difference=Mean(-0.9, -1.0, -0.8))
    judged = outcomes([few], rated, LIMITS)
    assert [each.status for each in judged] == ["too_few", "too_few"]
    assert status_of(judged) == "passed"
    none = outcomes([Agreement("alerts", 0, 0, 0, 0, 0, 0, 0)], NOTHING, LIMITS)
    assert status_of(none) == "no_human_work"


def test_ratings_stop_a_model_by_their_mean() -> None:
    for mean, status in ((-0.051, "failed"), (-0.049, "passed"), (0.3, "passed")):
        rated = RatedQuestions(9, 9, 0, 10, 100, difference=Mean(mean, mean - 0.1, mean + 0.1))
        assert outcomes([], rated, LIMITS)[0].status == status


def test_an_unwanted_seed_that_is_as_near_cancels_a_match() -> None:
    probabilities = np.array([[0.9, 0.4, 0.2], [0.9, 0.4, 0.95], [0.3, 0.8, 0.8]])
    weights = np.array([[8.0, 2.0, 1.0], [8.0, 2.0, 9.0], [1.0, 6.0, 6.0]])
    assert best(probabilities, weights, 2) == [0.9, 0.0, 0.0]
    assert best(probabilities, weights, 3) == [0.9, 0.95, 0.8]


def test_a_path_is_worth_what_a_walk_makes_of_it() -> None:
    known = {("a", "b"): 0.8, ("b", "c"): 0.5}
    assert along(["a", "b", "c"], known, Query(decay=0.9)) == pytest.approx(0.8 * 0.5 * 0.9)
    assert along(["c", "b"], known, Query()) == 0.5
    assert along(["a"], known, Query()) == 0
    assert along(["a", "b", "x"], known, Query()) == 0


def test_the_skewness_of_few_large_counts() -> None:
    counts = [5, 3, 1]
    values = np.array([*counts, *[0] * 17], np.float64)
    centred = values - values.mean()
    expected = (centred**3).mean() / (centred**2).mean() ** 1.5
    assert skewness(counts, 20) == pytest.approx(expected)
    assert skewness([2, 2], 2) == 0


def test_a_sample_does_not_depend_on_the_order() -> None:
    names = [f"s{i}" for i in range(500)]
    samples: list[list[str]] = []
    for seed in range(2):
        random.Random(seed).shuffle(names)
        sample = HashSample[str](50)
        for name in names:
            sample.add(name, name)
        assert sample.seen == 500
        samples.append(sample.items())
    assert samples[0] == samples[1]
    assert len(samples[0]) == 50
    assert samples[0] == sorted(samples[0])
