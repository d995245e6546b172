"""Means, ratios and corrected differences of finished runs, against plain recomputation."""

from dataclasses import replace

import numpy as np
import pytest

from tests.training.compare.synthetic import QUALITY, finished
from training.compare.plan import Method
from training.compare.results import Finished, references_of, summarise
from training.errors import EvaluationError
from training.evaluation.statistics import holm

REFERENCES = ("transfer-plus", "tf-idf")


@pytest.fixture(scope="module")
def runs() -> list[Finished]:
    return finished("lastfm")


def per_query(runs: list[Finished], name: str) -> np.ndarray:
    chosen = [run for run in runs if run.run.method.name == name]
    return np.mean([r.evaluation.per_query["neighbours"]["NDCG@20"] for r in chosen], axis=0)


def test_values_are_means_over_seeds_then_queries(runs: list[Finished]):
    data = summarise(runs, REFERENCES)
    assert (data.name, data.task, data.metric, data.queries) == (
        "lastfm",
        "neighbours",
        "NDCG@20",
        400,
    )
    means = [method.value.mean for method in data.methods]
    assert means == sorted(means, reverse=True)
    for method in data.methods:
        values = per_query(runs, method.name)
        assert method.value.mean == pytest.approx(values.mean())
        assert method.value.low < method.value.mean < method.value.high
        spread = 1.96 * values.std() / np.sqrt(len(values))
        assert method.value.high - method.value.low == pytest.approx(2 * spread, rel=0.1)
        assert method.metrics["neighbours"]["NDCG@20"] == pytest.approx(method.value.mean)


def test_seeds_have_a_standard_error_of_their_own(runs: list[Finished]):
    data = summarise(runs, REFERENCES)
    plus = data.method("transfer-plus")
    assert plus is not None
    assert plus.seeds == (0, 1, 2)
    means = [r.evaluation.summary["neighbours"]["NDCG@20"] for r in runs[:3]]
    assert plus.seed_error == pytest.approx(np.std(means, ddof=1) / np.sqrt(3))
    ridge = data.method("ridge")
    assert ridge is not None
    assert ridge.seed_error is None
    assert plus.cost.fit_seconds == 31.5
    assert ridge.cost.fit_seconds is None


def test_ratios_are_to_the_best_baseline(runs: list[Finished]):
    data = summarise(runs, REFERENCES)
    assert data.best_baseline == "ridge"
    base = per_query(runs, "ridge").mean()
    for method in data.methods:
        assert method.ratio is not None
        assert method.ratio.mean == pytest.approx(method.value.mean / base)
        assert method.ratio.low <= method.ratio.mean <= method.ratio.high
    ridge = data.method("ridge")
    assert ridge is not None
    assert ridge.ratio is not None
    assert (ridge.ratio.low, ridge.ratio.high) == (1, 1)


def test_comparisons_are_paired_and_corrected_for_all_pairs_once(runs: list[Finished]):
    data = summarise(runs, REFERENCES)
    plain, corrected = {}, {}
    for method in data.methods:
        for reference, comparison in method.against.items():
            assert method.name != reference
            expected = per_query(runs, method.name) - per_query(runs, reference)
            assert comparison.difference.mean == pytest.approx(expected.mean())
            plain[frozenset((method.name, reference))] = comparison.p
            corrected[frozenset((method.name, reference))] = comparison.p_holm
    assert len(plain) == 2 * (len(QUALITY) - 1) - 1
    np.testing.assert_allclose(list(corrected.values()), holm(list(plain.values())))


def test_both_sides_of_a_pair_say_the_same(runs: list[Finished]):
    data = summarise(runs, REFERENCES)
    plus, lexical = data.method("transfer-plus"), data.method("tf-idf")
    assert plus is not None
    assert lexical is not None
    up, down = plus.against["tf-idf"], lexical.against["transfer-plus"]
    assert (up.p, up.p_holm) == (down.p, down.p_holm)
    assert up.difference.mean == -down.difference.mean
    assert (up.difference.low, up.difference.high) == (-down.difference.high, -down.difference.low)


def test_what_differs_is_found_and_what_does_not_is_not():
    same = Method("twin", "variant", "transfer-plus", (), ("dim=64",))
    runs = finished("lastfm", {**QUALITY, same: 0.27}, seeds=1)
    data = summarise(runs, REFERENCES)
    verdicts = {m.name: m.against["transfer-plus"] for m in data.methods[2:]}
    assert {data.methods[0].name, data.methods[1].name} == {"transfer-plus", "twin"}
    assert verdicts["masked-views"].is_significant
    assert verdicts["random"].is_significant
    twin = data.method("twin")
    assert twin is not None
    assert not twin.against["transfer-plus"].is_significant


def test_the_primary_metric_is_the_first_that_all_have():
    runs = finished("lastfm", seeds=1)
    for run in runs:
        evaluation = run.evaluation
        evaluation.per_query["labels"] = evaluation.per_query.pop("neighbours")
        evaluation.summary["labels"] = evaluation.summary.pop("neighbours")
    assert summarise(runs, REFERENCES).task == "labels"
    runs[0].evaluation.per_query.pop("labels")
    with pytest.raises(EvaluationError, match="lastfm: nothing to compare by; it needs"):
        summarise(runs, REFERENCES)


def test_runs_on_other_queries_are_not_mixed():
    runs = finished("lastfm", seeds=1)
    other = replace(
        runs[1].evaluation,
        per_query={
            "neighbours": {
                **runs[1].evaluation.per_query["neighbours"],
                "query": np.arange(400),
            }
        },
    )
    runs[1] = replace(runs[1], evaluation=other)
    with pytest.raises(EvaluationError, match="measured on other queries; use --overwrite"):
        summarise(runs, REFERENCES)


def test_without_baselines_there_is_no_ratio():
    only = {m: q for m, q in QUALITY.items() if m.recipe}
    data = summarise(finished("lastfm", only), REFERENCES)
    assert data.best_baseline is None
    assert all(method.ratio is None for method in data.methods)
    assert data.references == ("transfer-plus",)


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
