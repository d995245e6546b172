import json
from pathlib import Path

import numpy as np
import pytest

from training.data import Dataset
from training.errors import EvaluationError, OutputError
from training.evaluation.result import Evaluation
from training.evaluation.run import evaluate
from training.evaluation.subject import Representation


@pytest.fixture(scope="module")
def evaluation(world: Dataset) -> Evaluation:
    vectors = np.random.default_rng(0).standard_normal((len(world.ids), 8)).astype(np.float32)
    return evaluate(world, Representation.symmetric(vectors), subject="random", seed=4)


def test_saved_and_read_is_the_same(evaluation: Evaluation, tmp_path: Path):
    path = tmp_path / "metrics.json"
    evaluation.save(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["metrics.json", "metrics.per_query.npz"]
    again = Evaluation.load(path)
    assert again.summary == evaluation.summary
    assert (again.data, again.digest, again.subject, again.seed, again.split) == (
        evaluation.data,
        evaluation.digest,
        "random",
        4,
        "test",
    )
    for task, metrics in evaluation.per_query.items():
        assert list(again.per_query[task]) == list(metrics)
        for name, values in metrics.items():
            np.testing.assert_array_equal(again.per_query[task][name], values)


def test_what_can_t_be_read_is_named(evaluation: Evaluation, tmp_path: Path):
    path = tmp_path / "metrics.json"
    with pytest.raises(EvaluationError, match=r"metrics\.json can't be read"):
        Evaluation.load(path)
    evaluation.save(path)
    path.write_text(json.dumps({"data": "x"}))
    with pytest.raises(EvaluationError, match="evaluate` again"):
        Evaluation.load(path)
    evaluation.save(path)
    (tmp_path / "metrics.per_query.npz").write_bytes(b"no archive")
    with pytest.raises(EvaluationError, match="evaluate` again"):
        Evaluation.load(path)
    with pytest.raises(OutputError, match="can't be written"):
        evaluation.save(tmp_path / "none" / "metrics.json")


def test_the_summary_is_the_mean_of_the_queries(evaluation: Evaluation):
    assert {"NDCG@10", "NDCG@20", "NDCG@100", "recall@20", "MRR", "hubness"} <= set(
        evaluation.summary["seen"]
    )
    for task, metrics in evaluation.per_query.items():
        for name in set(metrics) & set(evaluation.summary[task]):
            assert evaluation.summary[task][name] == pytest.approx(float(metrics[name].mean()))
            assert len(metrics[name]) == len(metrics["query"])
