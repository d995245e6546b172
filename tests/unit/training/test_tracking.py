"""What a fit records: the file of metrics, MLflow and TensorBoard."""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.unit.training.helpers import lines, steps
from training.errors import OutputError, UsageError
from training.tracking import Entry, open_tracking
from training.tracking.metrics_file import MetricsFile


def validation(stage: str, step: int, value: float = 0.5) -> Entry:
    return Entry("validation", stage, step, "NDCG@20", value, {"fit_loss": 1.5}, 0.125, 8.0)


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
        tracking.record(Entry("validation", "select", 6, "MRR", math.nan, {"a_loss": math.inf}))
    line, other = lines(tmp_path)
    time = datetime.fromisoformat(line.pop("time"))
    assert (time - before).total_seconds() > -0.001  # milliseconds are cut off
    assert line == {
        "event": "validation",
        "stage": "select",
        "step": 5,
        "metric": "NDCG@20",
        "value": 0.5,
        "losses": {"fit_loss": 1.5},
        "learning_rate": 0.125,
        "steps_per_s": 8.0,
    }
    assert (other["value"], other["losses"], other["learning_rate"]) == (
        None,
        {"a_loss": None},
        None,
    )


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


def test_a_place_that_is_no_file_is_told(tmp_path: Path):
    file = MetricsFile(tmp_path, resumed=False)
    (tmp_path / "metrics.jsonl").unlink()
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(OutputError, match=r"metrics.jsonl can't be written: Is a directory"):
        file.record(validation("select", 0))


DESCRIPTION: dict[str, Any] = {
    "recipe": "mlm",
    "seed": 3,
    "config": {"steps": 7, "text_tower": ""},
    "data_digest": "d1",
    "code_version": "0",
    "towers": [],
}
TRACK = ("mlflow",)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where MLflow writes, without a server."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return tmp_path / "store"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A checkpoint folder."""
    folder = tmp_path / "my-checkpoint"
    folder.mkdir()
    return folder


def run_of(out: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient().get_run((out / "mlflow_run.txt").read_text().strip())


def history(out: Path, name: str) -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    found = MlflowClient().get_metric_history(run_of(out).info.run_id, name)
    return [(each.step, each.value) for each in found]


@pytest.mark.usefixtures("store")
def test_a_run_has_settings_digests_and_metrics_and_is_gone_on_with(out: Path):
    tracking = open_tracking(TRACK, out, False, DESCRIPTION)
    tracking.go_on("select", 0)
    for step in (0, 5, 10):
        tracking.record(validation("select", step, 0.5 if step else math.nan))
    with pytest.raises(KeyboardInterrupt), tracking:
        raise KeyboardInterrupt
    first = run_of(out)
    assert first.info.status == "FAILED"
    with open_tracking(TRACK, out, True, DESCRIPTION) as tracking:
        tracking.go_on("select", 5)
        for step in (10, 15):
            tracking.record(validation("select", step))
        assert run_of(out).info.status == "RUNNING"
        tracking.finish({"test_seen_NDCG@20": 0.25})
    run = run_of(out)
    assert (run.info.run_id, run.info.status) == (first.info.run_id, "FINISHED")
    assert run.info.run_name == "my-checkpoint"
    assert run.data.params == {"recipe": "mlm", "seed": "3", "steps": "7", "text_tower": ""}
    assert (run.data.tags["data_digest"], run.data.tags["code_version"]) == ("d1", "0")
    assert history(out, "select/validation/NDCG_at_20") == [(5, 0.5), (10, 0.5), (15, 0.5)]
    assert history(out, "select/loss/fit_loss") == [(step, 1.5) for step in (0, 5, 10, 15)]
    assert run.data.metrics["test_seen_NDCG_at_20"] == 0.25


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("uri", ["http://127.0.0.1:1", "nothing://of-the-kind"])
def test_a_server_that_is_not_there_is_told_before_the_fit(
    out: Path, monkeypatch: pytest.MonkeyPatch, uri: str
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UsageError, match=rf"^--track mlflow: {uri} can't be used \(.+MLFLOW_"):
        open_tracking(TRACK, out, False, DESCRIPTION)
    assert not list(out.iterdir())


def read(folder: Path, run: str) -> EventAccumulator:
    return EventAccumulator(str(folder / "tensorboard" / run)).Reload()


def scalars(folder: Path, run: str, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in read(folder, run).Scalars(tag)]


def test_a_stage_is_a_run_with_all_numbers_and_no_step_comes_twice(tmp_path: Path):
    for resumed, made in ((False, (0, 5, 10)), (True, (10, 15))):
        with open_tracking(("tensorboard",), tmp_path, resumed, DESCRIPTION) as tracking:
            tracking.go_on("select", 5 if resumed else 0)
            for step in made:
                tracking.record(validation("select", step, step / 32 if step else math.nan))
            tracking.record(Entry("end", "select", 5, "NDCG@20", 0.5))
            tracking.finish({"test_seen_NDCG@20": 0.25})
    expected = [(step, step / 32) for step in (5, 10, 15)]
    assert scalars(tmp_path, "select", "validation/NDCG@20") == expected
    for tag, value in (("loss/fit_loss", 1.5), ("learning_rate", 0.125), ("steps_per_s", 8.0)):
        assert scalars(tmp_path, "select", tag) == [(step, value) for step in (0, 5, 10, 15)]
    assert (0, 0.25) in scalars(tmp_path, "result", "test_seen_NDCG@20")
    (text, *_) = read(tmp_path, "result").Tensors("fit/text_summary")
    assert b'"recipe": "mlm"' in text.tensor_proto.string_val[0]
