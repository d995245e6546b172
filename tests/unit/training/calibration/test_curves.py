"""On synthetic answers, whose precision is known."""

import numpy as np
import pytest
from scipy.stats import beta

from training.calibration.answers import Answers
from training.calibration.curves import FEWEST_PAIRS, curve, lower_bound


def chance(score: np.ndarray) -> np.ndarray:
    """Of an answer being right: rises with its score from .1 to .95."""
    return 0.1 + 0.85 * score


def drawn(rng: np.random.Generator, queries: int, per_query: int, spread: float) -> Answers:
    """Answers with uniform scores; `spread` says how much those of a query go together."""
    score = rng.random((queries, per_query))
    luck = rng.uniform(-spread, spread, (queries, 1))
    right = rng.random((queries, per_query)) < np.clip(chance(score) + luck, 0, 1)
    return answers(np.repeat(np.arange(queries), per_query), score.ravel(), right.ravel())


def answers(query: np.ndarray, score: np.ndarray, right: np.ndarray, **change) -> Answers:
    order = np.argsort(-score, kind="stable")
    count = int(query.max()) + 1
    given = {
        "weight": np.ones(len(query)),
        "query_weight": np.ones(count),
        "cluster": np.arange(count),
        "base_rate": float(right.mean()),
    } | change
    return Answers(query[order], score[order].astype(np.float32), right[order], **given)


def true_precision(score: float, spread: float = 0.0) -> float:
    """Mean chance of uniform scores from this one on."""
    scores = np.linspace(score, 1, 101)
    luck = np.linspace(-spread, spread, 101)[:, None]
    return float(np.clip(chance(scores) + luck, 0, 1).mean())


@pytest.mark.slow
@pytest.mark.parametrize(("wanted", "spread"), [(0.8, 0.0), (0.6, 0.3)])
def test_what_is_promised_holds_in_95_of_100_draws(wanted: float, spread: float):
    rng = np.random.default_rng(7)
    kept = promised = 0
    for _ in range(100):
        found = curve(drawn(rng, 100, 20, spread), 1, None)
        knot = None if found is None else found.threshold(wanted)
        promised += knot is not None
        kept += knot is None or true_precision(knot.score, spread) >= wanted
    assert kept >= 95
    assert promised >= 95  # and it is not kept by never promising anything


def level(rng: np.random.Generator, pairs: int, queries: int) -> Answers:
    """Answers of which 0.7 are right, whatever their score."""
    score, right = rng.random(pairs), rng.random(pairs) < 0.7
    return answers(
        rng.integers(0, queries, pairs),
        score,
        right,
        query_weight=np.ones(queries),
        cluster=np.arange(queries),
    )


def test_the_most_that_is_promised_holds_too():
    """It is what a refusal tells people to ask for, so chance may not choose it."""
    rng = np.random.default_rng(3)
    found = [curve(level(rng, 3000, 500), 1, None) for _ in range(60)]
    most = np.array([each.strictest.at_least for each in found if each is not None])
    assert len(most) == 60
    assert (most > 0.7).mean() <= 0.1  # 0.3 if the best of all bounds is taken
    assert most.mean() > 0.65


def test_few_copies_of_which_all_are_right_are_promised() -> None:
    """40 of 1,000 pairs are copies, which score highest: sizes that are larger promise nothing."""
    score = np.linspace(1, 0, 1000)
    found = curve(answers(np.arange(1000), score, score > 0.96), 1, None)
    assert found is not None
    assert found.strictest.at_least > 0.8


def test_the_precision_of_the_best_scores_is_not_what_chance_made_of_them():
    rng = np.random.default_rng(4)
    found = [curve(level(rng, 3000, 500), 1, None) for _ in range(60)]
    told = np.array([[k.precision for k in each.knots] for each in found if each is not None])
    assert told[:, 0].mean() == pytest.approx(0.7, abs=0.045)
    assert told[:, 8].mean() == pytest.approx(0.7, abs=0.025)
    assert told[:, -1].mean() == pytest.approx(0.7, abs=0.01)


def test_a_curve_only_falls_and_is_near_the_truth():
    found = curve(drawn(np.random.default_rng(0), 300, 30, 0.0), 2, 3)
    assert found is not None
    assert (found.fewest, found.most, found.queries) == (2, 3, 300)
    for knot in found.knots[3:]:
        assert knot.precision == pytest.approx(true_precision(knot.score), abs=0.05)
        assert knot.at_least < knot.precision
        assert knot.answers == pytest.approx(knot.pairs / 300)
    assert found.knots[-1].pairs == 9000


def test_fewer_pairs_promise_less():
    reached = []
    for queries in (10, 40, 400):
        found = curve(drawn(np.random.default_rng(1), queries, 20, 0.0), 1, None)
        assert found is not None
        reached.append((found.strictest.at_least, found.knots[-1].at_least))
    assert reached == sorted(reached)
    assert reached[0][0] < 0.8 < 0.85 < reached[2][0]


def test_the_bound_of_independent_answers_is_that_of_clopper_and_pearson():
    query = np.arange(200)
    right = np.arange(200) % 5 > 0
    bound = lower_bound(answers(query, np.ones(200), right), 200)
    assert bound == pytest.approx(float(beta.ppf(0.05, 160, 41)), abs=0.003)


def test_answers_that_go_together_are_less_evidence():
    query = np.repeat(np.arange(20), 10)
    right = np.repeat(np.arange(20) % 5 > 0, 10)  # all or none of a query
    bound = lower_bound(answers(query, np.ones(200), right), 200)
    assert bound == pytest.approx(float(beta.ppf(0.05, 16, 5)), abs=0.03)
    every = lower_bound(answers(query, np.ones(200), np.ones(200, bool)), 200)
    assert every == pytest.approx(0.05 ** (1 / 20), abs=1e-6)
    one = answers(np.zeros(50, np.int64), np.ones(50), np.ones(50, bool))
    assert lower_bound(one, 50) == 0


def test_an_answer_counts_for_as_many_as_it_stands_for():
    query = np.repeat(np.arange(100), 2)
    score = np.ones(200)
    right = np.arange(200) % 2 == 0
    heavy = np.where(right, 1.0, 9.0)
    found = curve(answers(query, score, right, weight=heavy), 1, None)
    assert found is not None
    assert found.knots[-1].precision == pytest.approx(0.1)
    assert found.knots[-1].answers == pytest.approx(10)


def test_too_few_pairs_or_no_right_ones_give_no_curve():
    few = FEWEST_PAIRS - 1
    assert curve(answers(np.arange(few), np.ones(few), np.ones(few, bool)), 1, None) is None
    assert curve(answers(np.arange(99), np.ones(99), np.zeros(99, bool)), 1, None) is None


def test_the_best_answers_may_be_worse_than_the_next_ones():
    """Then a threshold among the best is promised no more than what it includes."""
    score = np.linspace(1, 0, 4000)
    right = np.where(score > 0.95, np.arange(4000) % 3 == 0, score > 0.5)
    found = curve(answers(np.arange(4000) % 500, score, right), 1, None)
    assert found is not None
    for knot in found.knots:
        assert knot.precision <= 0.94
        assert knot.at_least <= 0.93
    assert found.strictest.score == pytest.approx(0.5, abs=0.1)
