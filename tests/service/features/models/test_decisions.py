"""Agreement, flips and thresholds of equal precision, against a count by hand."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import beta, multinomial

from service.features.cases.records import Query
from service.features.models.comparing.decisions import Decision, agreement, flips, recalibrated
from service.features.models.comparing.limits import GateLimits, outcomes, status_of
from service.features.models.comparing.neighbours import skewness
from service.features.models.comparing.records import (
    Agreement,
    Mean,
    Outcome,
    OutcomeStatus,
    RatedQuestions,
    Side,
)
from service.features.models.comparing.replaying import along, best
from service.features.models.comparing.sampling import HashSample
from service.features.models.losses import loss_of

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


def least_precision(decisions: Sequence[Decision], at: float) -> float:
    """Its lower bound."""
    found = [each.is_match for each in decisions if each.after >= at]
    share, count, z2 = sum(found) / len(found), len(found), 1.959964**2
    spread = z2 * (share * (1 - share) / count + z2 / (4 * count**2))
    return (share + z2 / (2 * count) - spread**0.5) / (1 + z2 / count)


@pytest.mark.parametrize("count", [40, 200, 1000])
def test_of_two_equal_models_the_threshold_of_equal_precision_stays(count: int) -> None:
    for seed in range(50):
        rng = random.Random(seed)
        scores = [rng.random() for _ in range(count)]
        (found,) = recalibrated("alerts", [decided(rng.random() < s, s, s) for s in scores], 10)
        assert found.threshold_equal == min(each for each in scores if each >= 0.5)


def test_a_lower_threshold_needs_a_bound_that_supports_it() -> None:
    rng = random.Random(0)
    scores = [rng.random() for _ in range(1000)]
    truths = [rng.random() < score for score in scores]
    better = [
        1 - (1 - s) * 0.3 if is_true else s * 0.7 for s, is_true in zip(scores, truths, strict=True)
    ]
    drawn = [decided(*each) for each in zip(truths, scores, better, strict=True)]
    (found,) = recalibrated("alerts", drawn, 10)
    assert found.threshold_equal is not None
    assert found.precision_before is not None
    assert 0.3 < found.threshold_equal < 0.45
    assert least_precision(drawn, found.threshold_equal) >= found.precision_before - 1e-6


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
        if each.after >= 0.5 or least_precision(decisions, each.after) >= wanted
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
    sides = Side(3, 3, 1, 2, 0), Side(2, 1, 2, 0, 1)
    assert found == Agreement("judgements", 7, 5, 2, 4, 3, 2, 1, *sides)
    listed = flips("judgements", decisions)
    assert [(each.before, each.after, each.is_lost) for each in listed] == [
        (0.9, 0.1, True),
        (0.6, 0.4, True),
        (0.7, 0.2, False),
    ]


def raised(confirmed: int, dismissed: int, after: float) -> list[Decision]:
    """Alerts that the active model raised, and what the next one makes of all of them."""
    return [decided(i < confirmed, 0.9, after) for i in range(confirmed + dismissed)]


def judged(decisions: Sequence[Decision], limits: GateLimits = LIMITS) -> Outcome:
    count = len(decisions)
    (found, _) = outcomes([agreement("alerts", decisions, count, 0)], NOTHING, limits)
    return found


def test_a_model_that_finds_nothing_does_not_pass_by_the_alerts_that_were_dismissed() -> None:
    found = judged(raised(30, 70, 0.0))
    assert (found.status, found.measured, found.decisions) == ("failed", 1.0, 100)
    assert "of 30 confirmed alerts 30 lost, 0 gained" in found.reason
    assert "of 70 rejected alerts 0 lost, 70 gained" in found.reason
    assert judged(raised(70, 30, 0.0)).status == "failed"


def test_a_model_that_decides_alike_passes() -> None:
    """On confirmed and rejected decisions the loss is equal then, and its interval is not."""
    found = [decided(True, 0.9, 0.9)] * 80 + [decided(False, 0.1, 0.1)] * 120
    judged = outcomes([agreement("alerts", found, 200, 0)], NOTHING, LIMITS)
    assert [each.status for each in judged if each.kind == "alerts"] == ["passed"]


def test_one_that_matches_everything_does_not_pass_by_what_it_finds() -> None:
    decisions = [decided(True, 0.1, 0.9)] * 80 + [decided(False, 0.1, 0.9)] * 40
    found = judged(decisions)
    assert (found.status, found.measured) == ("failed", 1.0)
    assert "of 80 confirmed alerts 0 lost, 80 gained" in found.reason


@pytest.mark.parametrize(
    ("lost", "count", "status"),
    [
        (0, 72, "passed"),
        (0, 71, "unclear"),
        (1, 20, "unclear"),
        (2, 20, "failed"),
        (5, 100, "unclear"),
        (6, 100, "failed"),
        (20, 1000, "passed"),
    ],
)
def test_a_loss_fails_by_what_is_measured_and_passes_by_its_whole_interval(
    lost: int, count: int, status: str
) -> None:
    decisions = [decided(True, 0.9, 0.1 if i < lost else 0.9) for i in range(count)]
    found = judged(decisions)
    assert found.status == status
    assert ("can't tell" in found.reason) == (status == "unclear")
    assert found.low is not None
    assert found.high is not None
    assert found.low <= lost / count <= found.high


@pytest.mark.parametrize(
    ("lost", "of_others", "status"),
    [(1, 0, "unclear"), (3, 0, "failed"), (1, 3, "failed"), (0, 3, "unclear"), (0, 4, "failed")],
)
def test_of_few_on_one_side_chance_stops_nothing_and_of_both_together_it_does(
    lost: int, of_others: int, status: str
) -> None:
    """Of nine that were confirmed and 61 that were rejected, where ten are enough to measure."""
    confirmed = [decided(True, 0.9, 0.1 if i < lost else 0.9) for i in range(9)]
    rejected = [decided(False, 0.1, 0.9 if i < of_others else 0.1) for i in range(61)]
    assert judged([*confirmed, *rejected]).status == status


@pytest.mark.parametrize(("lost", "count"), [(0, 20), (3, 20), (4, 20), (30, 30), (7, 200)])
def test_what_can_only_be_lost_has_the_interval_of_a_share(lost: int, count: int) -> None:
    """Clopper and Pearson's."""
    found = loss_of(Side(count, count, count - lost, lost, 0))
    low = beta.ppf(0.025, lost, count - lost + 1) if lost else 0
    high = beta.ppf(0.975, lost + 1, count - lost) if lost < count else 1
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))
    gained = loss_of(Side(count, 0, lost, 0, lost))
    assert (gained.low, gained.high) == pytest.approx((-found.high, -found.low))


@pytest.mark.slow
@pytest.mark.parametrize(("churn", "count"), [(0.01, 50), (0.05, 20), (0.1, 60)])
def test_the_interval_of_a_loss_misses_it_in_five_percent_at_most(churn: float, count: int) -> None:
    """Both errors together, over all that may come of it, and none where nothing changes."""
    for loss, most in ((0.05, 0.05), (0.0, 0.01)):
        failed = passed = 0.0
        shares = churn + loss, churn, 1 - 2 * churn - loss
        seen = [(i, j, count - i - j) for i in range(count) for j in range(count - i)]
        for (lost, gained, _), chance in zip(
            seen, multinomial.pmf(seen, count, shares).tolist(), strict=True
        ):
            if chance > 1e-5:
                found = loss_of(Side(count, count // 2, 0, lost, gained))
                failed += chance * (found.low > 0.05)
                passed += chance * (found.high <= 0.05)
        assert failed < 0.03
        assert failed + (passed if loss else 0) < most


def test_too_little_is_no_measure_and_nothing_at_all_is_told_apart() -> None:
    few = Agreement("alerts", 9, 9, 0, 9, 0, 9, 0)
    rated = RatedQuestions(4, 4, 0, 10, 100, difference=Mean(-0.9, -1.0, -0.8))
    found = outcomes([few], rated, LIMITS)
    assert [each.status for each in found] == ["too_few", "too_few"]
    assert status_of(found) == "unclear"
    none = outcomes([Agreement("alerts", 0, 0, 0, 0, 0, 0, 0)], NOTHING, LIMITS)
    assert status_of(none) == "no_human_work"


@pytest.mark.parametrize(
    ("mean", "status"),
    [
        (-0.14, "failed"),
        (-0.051, "failed"),
        (-0.049, "unclear"),
        (0.049, "unclear"),
        (0.06, "passed"),
    ],
)
def test_ratings_stop_a_model_by_their_mean_and_pass_it_by_its_interval(
    mean: float, status: str
) -> None:
    rated = RatedQuestions(9, 9, 0, 10, 100, difference=Mean(mean, mean - 0.1, mean + 0.1))
    (found,) = outcomes([], rated, LIMITS)
    assert (found.status, found.measured) == (status, -mean)
    assert (found.low, found.high) == (round(-mean - 0.1, 6), round(-mean + 0.1, 6))


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        (["passed", "none_stored"], "passed"),
        (["passed", "too_few"], "passed"),
        (["passed", "unclear"], "unclear"),
        (["too_few", "none_stored"], "unclear"),
        (["unclear", "failed"], "failed"),
        (["none_stored", "none_stored"], "no_human_work"),
    ],
)
def test_the_gate_passes_where_one_kind_does_and_none_is_unclear(
    statuses: list[OutcomeStatus], status: str
) -> None:
    found = [Outcome("alerts", each, None, 0.05, 0, "") for each in statuses]
    assert status_of(found) == status


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
