"""NDCG, its intervals, interleaving and verdicts, against what can be worked out by hand."""

import itertools
import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import t

from service.client.models import RatingOut
from service.commands.ratings import evaluate
from service.commands.ratings.figures import Interleaved, Limits, compared, interleaved
from service.features.ratings.interleaving import Pick, credit, team_draft
from service.features.ratings.ndcg import interval, quantile, score

LIMITS = Limits(0.8, 10)


def test_ndcg_is_that_of_its_definition() -> None:
    ratings = {"a": 3, "b": 2, "c": 0, "d": 1}
    found = score(["b", "x", "a", "c"], ratings, 4)
    gain = 3 / math.log2(2) + 0 + 7 / math.log2(4) + 0
    ideal = 7 / math.log2(2) + 3 / math.log2(3) + 1 / math.log2(4)
    assert found.ndcg == pytest.approx(gain / ideal)
    condensed = 3 / math.log2(2) + 7 / math.log2(3)
    assert found.condensed == pytest.approx(condensed / ideal)
    assert found.coverage == pytest.approx(0.75)


def test_the_best_order_has_one_and_no_other_has_more() -> None:
    ratings = {"a": 3, "b": 2, "c": 1, "d": 0}
    for order in itertools.permutations(ratings):
        ndcg = score(order, ratings, 4).ndcg
        assert ndcg is not None
        assert ndcg == pytest.approx(1) if order == ("a", "b", "c", "d") else ndcg < 1


def test_questions_without_anybody_who_fits_have_no_ndcg() -> None:
    assert score(["a"], {"a": 0}, 10).ndcg is None
    assert score([], {"a": 1}, 10).ndcg == 0
    assert score([], {}, 10).coverage == 1


def test_an_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    drawn = random.Random(5)
    covered = 0
    for _ in range(200):
        low, high = interval([drawn.random() for _ in range(40)])[1:]
        covered += low <= 0.5 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_an_interval_of_nothing_is_unknown() -> None:
    assert all(math.isnan(value) for value in interval([]))
    assert interval([0.5]) == (0.5, 0, 1)
    assert interval([0.5], -1) == (0.5, -1, 1)


def test_an_interval_is_that_of_students_t() -> None:
    for degrees in (*range(1, 30), 60, 1000):
        assert quantile(degrees) == pytest.approx(t.ppf(0.975, degrees), abs=1e-3)
    values = [0.1, 0.4, 0.5, 0.7]
    half = t.ppf(0.975, 3) * np.std(values, ddof=1) / 2
    assert interval(values) == pytest.approx((0.425, 0.425 - half, 0.425 + half), abs=1e-4)
    assert interval([0.9, 1.0, 1.0]).high == 1


def test_of_two_equal_systems_one_is_called_better_in_a_twentieth() -> None:
    drawn = np.random.default_rng(0)
    for questions in (5, 10, 20):
        apart = [interval(drawn.normal(0, 0.15, questions).tolist(), -1) for _ in range(2000)]
        named = sum(each.low > 0 or each.high < 0 for each in apart) / 2000
        assert named == pytest.approx(0.05, abs=0.02)


def test_a_team_draft_takes_each_once_in_fair_turns() -> None:
    drawn = random.Random(1)
    first, second = [f"a{i}" for i in range(8)], [f"a{i}" for i in (3, 2, 9, 0, 11)]
    for _ in range(200):
        picks = team_draft(first, second, 7, drawn)
        names = [pick.streamer_id for pick in picks]
        assert len(names) == len(set(names)) == 7
        for end in range(2, 8, 2):
            assert sum(pick.team for pick in picks[:end]) == end // 2
        for team, ranking in ((0, first), (1, second)):
            mine = [pick.streamer_id for pick in picks if pick.team == team]
            assert mine == sorted(mine, key=ranking.index)
    firsts = [team_draft(first, second, 7, drawn)[0].team for _ in range(400)]
    assert 140 < sum(firsts) < 260


def test_a_team_draft_ends_where_both_rankings_do() -> None:
    drawn = random.Random(1)
    assert team_draft([], [], 5, drawn) == []
    assert {p.streamer_id for p in team_draft(["a"], ["a", "b", "c"], 9, drawn)} == {"a", "b", "c"}


def test_identical_rankings_get_the_same_credit_on_average() -> None:
    drawn = random.Random(2)
    ranking = [f"s{i}" for i in range(10)]
    ratings = {name: drawn.randrange(4) for name in ranking}
    apart = [
        credit(team_draft(ranking, ranking, 10, drawn), ratings).difference for _ in range(500)
    ]
    assert abs(sum(apart) / 500) < 0.02


def test_credit_is_of_what_was_rated() -> None:
    picks = [Pick("a", 0), Pick("b", 1), Pick("c", 0), Pick("d", 1)]
    found = credit(picks, {"a": 3, "b": 3, "d": 3})
    assert found.gains == (1, 2)
    assert found.coverage == 0.75
    assert found.difference == 0.25


def answers(
    count: int, first: Sequence[str], second: Sequence[str], ratings: dict[str, float]
) -> list[tuple[list[list[str]], dict[str, float]]]:
    return [([list(first), list(second)], ratings) for _ in range(count)]


def test_a_verdict_names_the_better_one() -> None:
    ratings = {"a": 3.0, "b": 1.0, "c": 0.0}
    found = compared(["x", "y"], answers(12, "cba", "abc", ratings), 3, LIMITS)
    assert found.verdict == "y is better than x"
    found = compared(["x", "y"], answers(12, "abc", "cba", ratings), 3, LIMITS)
    assert found.verdict == "x is better than y"
    found = compared(["x", "y"], answers(12, "abc", "abc", ratings), 3, LIMITS)
    assert found.verdict == "no difference between x and y is shown"


def test_there_is_no_verdict_of_few_questions_or_little_coverage() -> None:
    ratings = {"a": 3.0, "b": 1.0}
    few = compared(["x", "y"], answers(9, "ba", "ab", ratings), 2, LIMITS)
    assert few.verdict is None
    assert "--min-questions" in (few.refused or "")
    thin = compared(["x", "y"], answers(20, "abqrs", "abtuv", ratings), 5, LIMITS)
    assert thin.verdict is None
    assert "0.40 of the hits are judged" in (thin.refused or "")
    assert dict(thin.figures)["judged coverage x"].mean == pytest.approx(0.4)


def test_interleaved_lists_are_credited_and_refused_likewise() -> None:
    picks = [Pick("a", 0), Pick("b", 1)]
    sessions = [Interleaved(f"q{i}", ("x", "y"), picks) for i in range(12)]
    ratings = {f"q{i}": {"a": 0.0, "b": 3.0} for i in range(12)}
    found = interleaved(sessions, ratings, LIMITS)
    assert found.verdict == "y is better than x"
    assert interleaved(sessions, {}, LIMITS).verdict is None
    assert interleaved([], {}, LIMITS).fields()["figures"]["judged coverage"]["mean"] is None


def test_a_seed_that_was_rated_is_no_answer() -> None:
    question = {"positive": ["a", "b"], "negative": ["c"], "filter": {}}
    given = {"at": 1.0, "note": "", "key_id": "k", "key_name": "n", "question_id": "q"}
    ratings = [
        RatingOut.model_validate({**given, "question": question, "streamer_id": s, "rating": 3})
        for s in "abcd"
    ]
    assert evaluate._rated(ratings)["q"].ratings == {"d": 3}
    assert evaluate._rated(ratings[:1])["q"].ratings == {}
