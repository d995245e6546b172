"""Means, ratios and corrected differences of finished runs, against plain recomputation."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.unit.training.compare.synthetic import BEHAVIOUR, CONTENT, QUALITY, finished
from training.compare.plan import Method
from training.compare.results import Finished, Standing, TaskResult, references_of
from training.compare.summary import summarise
from training.errors import EvaluationError
from training.evaluation.statistics import holm

REFERENCES = ("transfer-plus", "tf-idf")


@pytest.fixture(scope="module")
def runs() -> list[Finished]:
    return finished("lastfm")


def seeds_of(runs: list[Finished], name: str, task: str) -> np.ndarray:
    chosen = [run for run in runs if run.run.method.name == name]
    return np.stack([r.evaluation.per_query[task]["NDCG@20"] for r in chosen])


def per_query(runs: list[Finished], name: str, task: str = "seen") -> np.ndarray:
    return seeds_of(runs, name, task).mean(0)


def compared(runs: list[Finished], task: str = "seen") -> TaskResult:
    found = summarise(runs, REFERENCES).by(task)
    assert found is not None
    return found


def standing(result: TaskResult, name: str) -> Standing:
    found = result.standing(name)
    assert found is not None
    return found


@pytest.mark.parametrize("task", ["seen", "unseen", "cold start"])
def test_values_are_means_over_seeds_then_queries(runs: list[Finished], task: str):
    result = compared(runs, task)
    assert (result.task, result.metric, result.queries) == (task, "NDCG@20", 400)
    means = [each.value.mean for each in result.standings]
    assert means == sorted(means, reverse=True)
    for each in result.standings:
        values = per_query(runs, each.name, task)
        assert each.value.mean == pytest.approx(values.mean())
        assert each.value.low < each.value.mean < each.value.high
        seeds = seeds_of(runs, each.name, task)  # (seeds, Q)
        variance = (values.var() + seeds.var(0).mean() / len(seeds)) / len(values)
        spread = 1.96 * np.sqrt(variance + seeds.mean(1).var() / len(seeds))
        assert each.value.high - each.value.low == pytest.approx(2 * spread, rel=0.1)


def test_a_method_without_the_task_is_left_out_of_that_comparison(runs: list[Finished]):
    data = summarise(runs, REFERENCES)
    assert [task.task for task in data.tasks] == ["seen", "unseen", "cold start"]
    content, unseen, cold = data.tasks
    for each in (content, unseen):
        assert {standing.name for standing in each.standings} == CONTENT
    assert {each.name for each in cold.standings} == CONTENT | BEHAVIOUR
    assert (data.lacking(content), data.lacking(cold)) == (["knn-id"], [])
    assert (content.best_baseline, cold.best_baseline) == ("ridge", "knn-id")


def test_all_that_was_measured_is_kept_once(runs: list[Finished]):
    data = summarise(runs, REFERENCES)
    assert (data.name, data.references) == ("lastfm", REFERENCES)
    assert [m.name for m in data.methods[:-1]] == [each.name for each in data.tasks[0].standings]
    assert data.methods[-1].name == "knn-id"
    for method in data.methods:
        for task in data.tasks:
            found = task.standing(method.name)
            if found is not None:
                metric = method.metrics[task.task]["NDCG@20"]
                assert metric == pytest.approx(found.value.mean)


def test_seeds_have_a_standard_error_of_their_own(runs: list[Finished]):
    data = summarise(runs, REFERENCES)
    plus, ridge = data.method("transfer-plus"), data.method("ridge")
    assert plus is not None
    assert ridge is not None
    assert plus.seeds == (0, 1, 2)
    for result in data.tasks:
        means = [r.evaluation.summary[result.task]["NDCG@20"] for r in runs[:3]]
        error = standing(result, "transfer-plus").seed_error
        assert error == pytest.approx(np.std(means, ddof=1) / np.sqrt(3))
        assert standing(result, "ridge").seed_error is None
    assert plus.cost.fit_seconds == 31.5
    assert ridge.cost.fit_seconds is None


def test_intervals_hold_the_spread_of_seeds():
    """A method that depends on its seed far more than on the queries."""
    runs = finished("lastfm")
    for run, level in zip(runs[:3], (0.2, 0.3, 0.4), strict=True):
        values = run.evaluation.per_query["seen"]["NDCG@20"]
        values[:] = level + (values - values.mean()) / 100
    found = standing(compared(runs), "transfer-plus")
    assert found.value.mean == pytest.approx(0.3)
    assert found.value.low == pytest.approx(0.2, abs=0.02)
    assert found.value.high == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize(
    ("task", "best"), [("seen", "ridge"), ("unseen", "ridge"), ("cold start", "knn-id")]
)
def test_ratios_are_to_the_best_baseline_of_the_task(runs: list[Finished], task: str, best: str):
    result = compared(runs, task)
    assert result.best_baseline == best
    base = per_query(runs, best, task).mean()
    for each in result.standings:
        assert each.ratio is not None
        assert each.ratio.mean == pytest.approx(each.value.mean / base)
        assert each.ratio.low <= each.ratio.mean <= each.ratio.high
    itself = standing(result, best).ratio
    assert itself is not None
    assert (itself.low, itself.high) == (1, 1)


@pytest.mark.parametrize(
    ("task", "count"),
    [("seen", len(CONTENT)), ("unseen", len(CONTENT)), ("cold start", len(QUALITY))],
)
def test_comparisons_are_paired_and_corrected_for_all_pairs_of_the_task_once(
    runs: list[Finished], task: str, count: int
):
    plain, corrected = {}, {}
    for each in compared(runs, task).standings:
        for reference, comparison in each.against.items():
            assert each.name != reference
            expected = per_query(runs, each.name, task) - per_query(runs, reference, task)
            assert comparison.difference.mean == pytest.approx(expected.mean())
            plain[frozenset((each.name, reference))] = comparison.p
            corrected[frozenset((each.name, reference))] = comparison.p_holm
    assert len(plain) == 2 * (count - 1) - 1
    np.testing.assert_allclose(list(corrected.values()), holm(list(plain.values())))


def test_both_sides_of_a_pair_say_the_same(runs: list[Finished]):
    result = compared(runs)
    up = standing(result, "transfer-plus").against["tf-idf"]
    down = standing(result, "tf-idf").against["transfer-plus"]
    assert (up.p, up.p_holm) == (down.p, down.p_holm)
    assert up.difference.mean == -down.difference.mean
    assert (up.difference.low, up.difference.high) == (-down.difference.high, -down.difference.low)


def test_what_differs_is_found_and_what_does_not_is_not():
    same = Method("twin", "variant", "transfer-plus", (), ("dim=64",))
    result = compared(finished("lastfm", {**QUALITY, same: 0.27}, seeds=1))
    assert {each.name for each in result.standings[:2]} == {"transfer-plus", "twin"}
    for name, differs in (("masked-views", True), ("random", True), ("twin", False)):
        assert standing(result, name).against["transfer-plus"].is_significant is differs


def on_split(
    number: int, runs: list[Finished], level: Callable[[float], float] = float
) -> list[Finished]:
    """Runs as of another split, with half of the 400 queries in common with the one before.

    Args:
        number: of the split.
        runs: runs of the own split.
        level: gives the values of the split.
    """
    found = []
    for each in runs:
        per_query = {
            task: {
                name: values + 200 * number if name == "query" else np.vectorize(level)(values)
                for name, values in measured.items()
            }
            for task, measured in each.evaluation.per_query.items()
        }
        evaluation = replace(each.evaluation, per_query=per_query)
        found.append(Finished(replace(each.run, split_number=number), evaluation, each.cost))
    return found


@pytest.mark.parametrize("seeds", [1, 3])
def test_equal_splits_say_as_much_as_one(seeds: int):
    runs = finished("lastfm", seeds=seeds)
    again = [replace(each, run=replace(each.run, split_number=n)) for n in (1, 2) for each in runs]
    one, three = summarise(runs, REFERENCES), summarise([*runs, *again], REFERENCES)
    assert (one.splits, three.splits, three.seeds) == (1, 3, seeds)
    for single, several in zip(one.tasks, three.tasks, strict=True):
        assert (single.splits, several.splits, several.queries) == (1, 3, 400)
        assert single.best_baseline == several.best_baseline
        for a, b in zip(single.standings, several.standings, strict=True):
            assert a.name == b.name
            estimates = [(a.value, b.value), (a.ratio, b.ratio)]
            for name, found in a.against.items():
                estimates.append((found.difference, b.against[name].difference))
                assert b.against[name].p_holm == pytest.approx(found.p_holm)
            for x, y in estimates:
                assert x is not None
                assert y is not None
                assert (y.mean, y.low, y.high) == pytest.approx((x.mean, x.low, x.high), abs=1e-12)
            assert a.split_error is None
            assert b.split_error == pytest.approx(0, abs=1e-12)
            assert b.seed_error == (None if a.seed_error is None else pytest.approx(a.seed_error))


def test_values_are_means_over_splits_and_intervals_hold_their_spread(runs: list[Finished]):
    other = on_split(1, runs, lambda value: value / 2)
    data = summarise([*runs, *other], REFERENCES)
    assert [m.splits for m in data.methods] == [(0, 1)] * len(data.methods)
    own = compared(runs)
    result = data.by("seen")
    assert result is not None
    assert (result.queries, result.splits) == (600, 2)
    for each in result.standings:
        alone = standing(own, each.name)
        assert each.value.mean == pytest.approx(0.75 * alone.value.mean)
        assert each.value.low < 0.55 * alone.value.mean  # both of the two draws are the worse split
        assert each.value.high > 0.95 * alone.value.mean
        assert each.split_error == pytest.approx(0.25 * alone.value.mean)
        # Whatever splits and queries are drawn, the methods keep their ratio.
        assert each.ratio is not None
        assert alone.ratio is not None
        assert each.ratio.mean == pytest.approx(alone.ratio.mean)


def test_a_ratio_that_differs_by_split_has_a_wider_interval(runs: list[Finished]):
    better = on_split(1, runs)
    for each in better:
        if each.run.method.name == "transfer-plus":
            each.evaluation.per_query["seen"]["NDCG@20"] = np.minimum(
                1, 1.5 * each.evaluation.per_query["seen"]["NDCG@20"]
            )

    def width(found: list[Finished]) -> float:
        ratio = standing(compared(found), "transfer-plus").ratio
        assert ratio is not None
        return ratio.high - ratio.low

    assert width([*runs, *better]) > 3 * width([*runs, *on_split(1, runs)])


def test_a_method_counts_with_the_seeds_that_finished_on_every_split(runs: list[Finished]):
    other = [
        each
        for each in on_split(1, runs)
        if each.run.method.name != "transfer"
        and (each.run.method.name, each.run.seed) != ("kd-rkd", 2)
    ]
    data = summarise([*runs, *other], REFERENCES)
    assert set(data.lacking(data.tasks[0])) == {"transfer", "knn-id"}
    without = [e for e in runs if (e.run.method.name, e.run.seed) != ("kd-rkd", 2)]
    expected = standing(compared([*without, *on_split(1, without)]), "kd-rkd")
    found = standing(data.tasks[0], "kd-rkd")
    assert found.value.mean == expected.value.mean
    assert found.seed_error == expected.seed_error


def test_a_split_without_the_task_is_left_out_for_all(runs: list[Finished]):
    other = on_split(1, runs)
    for each in other:
        each.evaluation.per_query.pop("unseen", None)
    data = summarise([*runs, *other], REFERENCES)
    assert [task.splits for task in data.tasks] == [2, 1, 2]


def test_without_a_method_that_finished_on_every_split_nothing_is_compared(runs: list[Finished]):
    with pytest.raises(EvaluationError, match="no method finished on every split"):
        summarise([runs[0], *on_split(1, runs[-1:])], REFERENCES)


def test_without_a_primary_task_the_first_other_one_is_compared_by():
    runs = finished("lastfm", seeds=1)
    for run in runs:
        evaluation = run.evaluation
        evaluation.per_query["labels"] = evaluation.per_query.pop("cold start")
        evaluation.per_query.pop("seen", None)
        evaluation.per_query.pop("unseen", None)
    (result,) = summarise(runs, REFERENCES).tasks
    assert (result.task, result.metric) == ("labels", "NDCG@20")
    for run in runs:
        run.evaluation.per_query.clear()
    with pytest.raises(EvaluationError, match="lastfm: no ground truth to compare by; it needs"):
        summarise(runs, REFERENCES)


def test_a_seed_without_the_task_leaves_its_method_out():
    runs = finished("lastfm", seeds=2)
    runs[0].evaluation.per_query.pop("cold start")  # as an older version measured it
    data = summarise(runs, REFERENCES)
    assert data.lacking(data.tasks[0]) == ["knn-id"]
    assert data.lacking(data.tasks[2]) == ["transfer-plus"]
    assert data.tasks[2].references == ("tf-idf",)


def test_runs_on_other_queries_are_not_mixed():
    runs = finished("lastfm", seeds=1)
    runs[1].evaluation.per_query["cold start"]["query"] = np.arange(400)
    with pytest.raises(EvaluationError, match="evaluated on other queries; use --overwrite"):
        summarise(runs, REFERENCES)


def test_without_baselines_there_is_no_ratio():
    only = {m: q for m, q in QUALITY.items() if m.recipe}
    for result in summarise(finished("lastfm", only), REFERENCES).tasks:
        assert result.best_baseline is None
        assert all(each.ratio is None for each in result.standings)
        assert result.references == ("transfer-plus",)


@pytest.mark.parametrize(
    ("names", "wanted", "expected"),
    [
        (("masked-views", "transfer-plus", "tf-idf"), None, ("transfer-plus", "tf-idf")),
        (("masked-views", "kd-rkd", "tf-idf"), None, ("masked-views", "tf-idf")),
        (("masked-views", "kd-rkd"), "kd-rkd", ("kd-rkd",)),
        (("tf-idf", "ridge"), None, ("tf-idf",)),
        (("ridge",), None, ()),
        (("tf-idf", "kd-rkd"), "tf-idf", ("tf-idf",)),
    ],
)
def test_references(names: tuple[str, ...], wanted: str | None, expected: tuple[str, ...]):
    trained = {"masked-views", "transfer-plus", "kd-rkd"}
    methods = [
        Method(name, "recipe", name) if name in trained else Method(name, "baseline")
        for name in names
    ]
    assert references_of(methods, wanted) == expected
