"""What MLflow's own client finds in a store of files."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.training.tracking.recorded import steps
from training.errors import UsageError
from training.tracking import Entry, open_tracking

pytestmark = pytest.mark.slow  # the library takes seconds to load

DESCRIPTION: dict[str, Any] = {
    "recipe": "mlm",
    "seed": 3,
    "config": {"steps": 7, "text_tower": ""},
    "data_digest": "d1",
    "code_version": "0",
    "towers": [],
}
TRACK = ("mlflow",)


def validation(stage: str, step: int, value: float = 0.5) -> Entry:
    return Entry("validation", stage, step, "NDCG@20", value, {"mlm_loss": 2.0}, 0.125, 8.0)


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
def test_a_run_has_settings_digests_and_metrics_by_step(out: Path):
    from mlflow import MlflowClient

    with open_tracking(TRACK, out, False, DESCRIPTION) as tracking:
        tracking.go_on("select", 0)
        tracking.record(Entry("start", "select", 0, "NDCG@20"))
        tracking.record(validation("select", 0, float("nan")))
        tracking.record(validation("select", 5))
        tracking.record(Entry("end", "select", 5, "NDCG@20", 0.5))
        assert run_of(out).info.status == "RUNNING"
        tracking.finish({"test_seen_NDCG@20": 0.25})
    run = run_of(out)
    assert (run.info.run_name, run.info.status) == ("my-checkpoint", "FINISHED")
    assert run.data.params == {"recipe": "mlm", "seed": "3", "steps": "7", "text_tower": ""}
    assert (run.data.tags["data_digest"], run.data.tags["code_version"]) == ("d1", "0")
    assert history(out, "select/validation/NDCG_at_20") == [(5, 0.5)]
    assert history(out, "select/loss/mlm_loss") == [(0, 2.0), (5, 2.0)]
    assert run.data.metrics["test_seen_NDCG_at_20"] == 0.25
    experiment = MlflowClient().get_experiment(run.info.experiment_id)
    assert experiment.name == "similar-streamer"


@pytest.mark.usefixtures("store")
def test_the_experiment_is_that_of_the_environment(out: Path, monkeypatch: pytest.MonkeyPatch):
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    with open_tracking(TRACK, out, False, DESCRIPTION):
        pass
    assert MlflowClient().get_experiment(run_of(out).info.experiment_id).name == "mine"


@pytest.mark.usefixtures("store")
def test_a_resumed_fit_goes_on_with_its_run_and_has_no_step_twice(out: Path):
    class Stopped(BaseException):
        pass

    tracking = open_tracking(TRACK, out, False, DESCRIPTION)
    tracking.go_on("select", 0)
    for step in (5, 10, 15):
        tracking.record(validation("select", step))
    with pytest.raises(Stopped), tracking:
        raise Stopped
    first = run_of(out)
    assert first.info.status == "FAILED"
    with open_tracking(TRACK, out, True, DESCRIPTION) as tracking:
        tracking.go_on("select", 5)
        for step in (10, 15, 20):
            tracking.record(validation("select", step))
        tracking.go_on("refit", 0)
        tracking.record(validation("refit", 5))
    again = run_of(out)
    assert (again.info.run_id, again.info.status) == (first.info.run_id, "FINISHED")
    assert [step for step, _ in history(out, "select/learning_rate")] == [5, 10, 15, 20]
    assert [step for step, _ in history(out, "refit/learning_rate")] == [5]


def test_a_run_that_is_deleted_is_told_once_and_the_fit_goes_on(
    store: Path, out: Path, capsys: pytest.CaptureFixture[str]
):
    with open_tracking(TRACK, out, False, DESCRIPTION) as tracking:
        tracking.go_on("select", 0)
        info = run_of(out).info
        shutil.rmtree(store / info.experiment_id / info.run_id)
        for step in (5, 10):
            tracking.record(validation("select", step))
    error = capsys.readouterr().err
    assert error.count("MLflow misses metrics of this fit (") == 1
    assert error.count("\n") == 1
    assert steps(out, "select") == [5, 10]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("uri", ["http://127.0.0.1:1", "nothing://of-the-kind"])
def test_a_server_that_is_not_there_is_told_before_the_fit(
    out: Path, monkeypatch: pytest.MonkeyPatch, uri: str
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UsageError, match=rf"^--track mlflow: {uri} can't be used \(.+MLFLOW_"):
        open_tracking(TRACK, out, False, DESCRIPTION)
    assert not list(out.iterdir())


def test_without_the_library_the_extra_is_named(out: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UsageError, match=r"^--track mlflow needs MLflow: pip install"):
        open_tracking(TRACK, out, False, DESCRIPTION)
    assert not list(out.iterdir())
