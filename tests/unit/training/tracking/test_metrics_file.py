import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.unit.training.tracking.recorded import lines, steps
from training.errors import OutputError
from training.tracking import Entry, open_tracking
from training.tracking.metrics_file import MetricsFile


def validation(stage: str, step: int, value: float = 0.5) -> Entry:
    return Entry("validation", stage, step, "NDCG@20", value, {"fit_loss": 1.5}, 1e-3, 7.0)


def interrupted(folder: Path) -> MetricsFile:
    """A file with both stages of a fit, opened again."""
    file = MetricsFile(folder, resumed=False)
    file.record(Entry("start", "select", 0, "NDCG@20"))
    for step in (0, 5, 10):
        file.record(validation("select", step))
    file.record(Entry("end", "select", 5, "NDCG@20"))
    file.record(Entry("start", "refit", 0, "NDCG@20"))
    file.record(validation("refit", 5))
    return MetricsFile(folder, resumed=True)


def test_a_line_has_the_time_and_everything_of_the_entry(tmp_path: Path):
    before = datetime.now(UTC)
    with open_tracking((), tmp_path, False, {}) as tracking:
        tracking.record(validation("select", 5))
    (line,) = lines(tmp_path)
    time = datetime.fromisoformat(line.pop("time"))
    assert (time - before).total_seconds() > -0.001  # milliseconds are cut off
    assert line == {
        "event": "validation",
        "stage": "select",
        "step": 5,
        "metric": "NDCG@20",
        "value": 0.5,
        "losses": {"fit_loss": 1.5},
        "learning_rate": 1e-3,
        "steps_per_s": 7.0,
    }


def test_what_is_not_a_number_is_null(tmp_path: Path):
    file = MetricsFile(tmp_path, resumed=False)
    file.record(Entry("validation", "select", 1, "MRR", math.nan, {"a_loss": math.inf}))
    (line,) = lines(tmp_path)
    assert (line["value"], line["losses"], line["learning_rate"]) == (None, {"a_loss": None}, None)


@pytest.mark.parametrize(
    ("stage", "step", "select", "refit"),
    [
        ("select", 10, [0, 5, 10], []),
        ("select", 5, [0, 5], []),
        ("select", 0, [0], []),
        ("refit", 5, [0, 5, 10], [5]),
        ("refit", 0, [0, 5, 10], []),
    ],
)
def test_a_resumed_stage_goes_on_after_its_step(
    tmp_path: Path, stage: str, step: int, select: list[int], refit: list[int]
):
    interrupted(tmp_path).go_on(stage, step)
    assert (steps(tmp_path, "select"), steps(tmp_path, "refit")) == (select, refit)
    ended = [line["stage"] for line in lines(tmp_path) if line["event"] == "end"]
    assert ended == (["select"] if stage == "refit" else [])


def test_a_line_that_a_kill_tore_is_cut_off(tmp_path: Path):
    file = interrupted(tmp_path)
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    file.go_on("refit", 5)
    file.record(validation("refit", 10))
    assert steps(tmp_path, "refit") == [10]


def test_another_fit_starts_a_new_file(tmp_path: Path):
    interrupted(tmp_path)
    MetricsFile(tmp_path, resumed=False).record(validation("select", 0))
    assert len(lines(tmp_path)) == 1


def test_a_place_that_is_no_file_is_told(tmp_path: Path):
    file = MetricsFile(tmp_path, resumed=False)
    (tmp_path / "metrics.jsonl").unlink()
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(OutputError, match=r"metrics.jsonl can't be written: Is a directory"):
        file.record(validation("select", 0))
