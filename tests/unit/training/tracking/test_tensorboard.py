"""What TensorBoard's own reader finds."""

import sys
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.errors import UsageError
from training.tracking import Entry, open_tracking

DESCRIPTION: dict[str, Any] = {"recipe": "mlm", "config": {"steps": 7}}
TRACK = ("tensorboard",)


def validation(stage: str, step: int, value: float) -> Entry:
    return Entry("validation", stage, step, "MRR", value, {"mlm_loss": 2.0}, 0.125, 8.0)


def read(folder: Path, run: str) -> EventAccumulator:
    return EventAccumulator(str(folder / "tensorboard" / run)).Reload()


def scalars(folder: Path, run: str, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in read(folder, run).Scalars(tag)]


def test_a_stage_is_a_run_with_all_numbers(tmp_path: Path):
    with open_tracking(TRACK, tmp_path, False, DESCRIPTION) as tracking:
        tracking.go_on("select", 0)
        tracking.record(Entry("start", "select", 0, "MRR"))
        tracking.record(validation("select", 0, float("nan")))
        tracking.record(validation("select", 5, 0.5))
        tracking.record(Entry("end", "select", 5, "MRR", 0.5))
        tracking.go_on("refit", 0)
        tracking.record(validation("refit", 5, 0.75))
        tracking.finish({"test_seen_NDCG@20": 0.25})
    assert scalars(tmp_path, "select", "validation/MRR") == [(5, 0.5)]
    assert scalars(tmp_path, "select", "loss/mlm_loss") == [(0, 2.0), (5, 2.0)]
    assert scalars(tmp_path, "select", "learning_rate") == [(0, 0.125), (5, 0.125)]
    assert scalars(tmp_path, "select", "steps_per_s") == [(0, 8.0), (5, 8.0)]
    assert scalars(tmp_path, "refit", "validation/MRR") == [(5, 0.75)]
    assert scalars(tmp_path, "result", "test_seen_NDCG@20") == [(0, 0.25)]
    (text,) = read(tmp_path, "result").Tensors("fit/text_summary")
    assert b'"recipe": "mlm"' in text.tensor_proto.string_val[0]


def test_a_resumed_fit_has_no_step_twice(tmp_path: Path):
    for resumed, steps in ((False, (5, 10, 15)), (True, (10, 15, 20))):
        with open_tracking(TRACK, tmp_path, resumed, DESCRIPTION) as tracking:
            tracking.go_on("select", 5 if resumed else 0)
            for step in steps:
                tracking.record(validation("select", step, step / 32))
    expected = [(step, step / 32) for step in (5, 10, 15, 20)]
    assert scalars(tmp_path, "select", "validation/MRR") == expected


def test_a_fit_that_replaces_another_leaves_no_records_of_it(tmp_path: Path):
    (tmp_path / "tensorboard" / "select").mkdir(parents=True)
    (tmp_path / "mlflow_run.txt").write_text("1")
    for resumed in (True, False):
        open_tracking((), tmp_path, resumed, DESCRIPTION)
        left = {path.name for path in tmp_path.iterdir()} - {"metrics.jsonl"}
        assert left == ({"tensorboard", "mlflow_run.txt"} if resumed else set())


def test_without_the_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match=r"^--track tensorboard needs TensorBoard: pip install"):
        open_tracking(TRACK, tmp_path, False, DESCRIPTION)
    assert not list(tmp_path.iterdir())
