"""Details of finished runs, as a fit leaves them."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from training.compare.collect import as_json, collect, details_of
from training.compare.measure import Measurer
from training.compare.plan import Method, Run
from training.evaluation.result import Evaluation

METHOD = Method("transfer-plus", "recipe", "transfer-plus")
NOTHING = math.nan


def finished_run(folder: Path, history: list[tuple[int, float]]) -> Run:
    run = Run(Path("data"), METHOD, 0, folder / "run", {"seed": 0})
    checkpoint = run.folder / "checkpoint"
    checkpoint.mkdir(parents=True)
    values = np.array([0.5, 0.25])
    per_query = {"seen": {"query": np.arange(2), "NDCG@20": values}}
    summary = {"seen": {"NDCG@20": float(values.mean())}}
    evaluation = Evaluation("data", "0" * 64, METHOD.name, 0, "test", summary, per_query)
    evaluation.save(run.folder / "metrics.json")
    (checkpoint / "config.json").write_text(json.dumps({"validation_history": history}))
    (checkpoint / "metrics.json").write_text(json.dumps({"validation_step": 0.0}))
    status = {"identity": run.identity, "cost": {"seconds": 1.0}}
    (run.folder / "run.json").write_text(json.dumps(status))
    return run


@pytest.mark.parametrize(
    ("history", "points"),
    [
        ([(0, NOTHING)], None),
        ([(0, NOTHING), (5, 0.25)], [[5, 0.25]]),
        ([(0, 0.125), (5, 0.25)], [[0, 0.125], [5, 0.25]]),
    ],
    ids=["nothing", "a part", "all"],
)
def test_what_validation_did_not_measure_is_no_point(
    tmp_path: Path, history: list[tuple[int, float]], points: list[list[float]] | None
) -> None:
    run = finished_run(tmp_path, history)
    results = collect([run], [], (), [], "test")
    details = details_of([run], results.data[0], Measurer("test", 1), robustness=False)
    curves = json.loads(as_json(results, {"data": details}))["data"][0]["details"]["training"]
    assert [curve["points"] for curve in curves] == ([] if points is None else [points])
