"""An MLflow run, on the server and in the experiment that MLflow's environment variables name."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from training.errors import UsageError
from training.models.checkpoint import MLFLOW_RUN, write_atomically
from training.tracking.base import Entry, Tracker

EXPERIMENT = "similar-streamer"
"""Experiment of a run, unless MLFLOW_EXPERIMENT_NAME or MLFLOW_EXPERIMENT_ID names another."""
_PARAMETERS = ("recipe", "seed")
_TAGS = ("data_digest", "code_version")
_COUNTED = "learning_rate"
"""A metric that every validation has, by which recorded steps are recognised."""


class MLflow(Tracker):
    """Logs parameters, tags and metrics by MLflow's fluent interface.

    The id of the run is kept in the checkpoint folder, so that a resumed fit goes on with it. A
    server that stops answering later does not end the fit: what it misses is in `metrics.jsonl`.
    """

    def __init__(self, folder: Path, resumed: bool, description: Mapping[str, Any]) -> None:
        """Start a run, or go on with that of an interrupted fit.

        Args:
            folder: checkpoint folder, whose name the run gets.
            resumed: whether an interrupted fit goes on.
            description: of the fit.

        Raises:
            UsageError: MLflow is not installed, or can't be used or reached.
        """
        try:
            import mlflow
            from mlflow.exceptions import MlflowException
        except ImportError as error:
            raise UsageError(
                "--track mlflow needs MLflow: pip install 'similar-streamer[mlflow]'"
            ) from error
        self._mlflow, self._problem = mlflow, MlflowException
        self._resumed, self._recorded, self._missed = resumed, -1, False
        try:
            self._run = self._begin(folder, resumed)
            mlflow.log_params(
                {name: description[name] for name in _PARAMETERS} | description["config"]
            )
            mlflow.set_tags({name: description[name] for name in _TAGS})
        except MlflowException as error:
            raise UsageError(
                f"--track mlflow: {mlflow.get_tracking_uri()} can't be used "
                f"({_first_line(error)}); set MLFLOW_TRACKING_URI to an MLflow server"
            ) from error

    def __exit__(self, *problem: Any) -> None:
        self._tried(lambda: self._run.__exit__(*problem))

    def go_on(self, stage: str, step: int) -> None:
        """Find the steps of the stage that are recorded already.

        MLflow keeps every value of a step, and a resumed fit repeats its values: they are skipped.
        """
        client, run = self._mlflow.MlflowClient(), self._run.info.run_id
        self._recorded = -1
        if self._resumed:
            logged = self._tried(lambda: client.get_metric_history(run, f"{stage}/{_COUNTED}"))
            self._recorded = max((metric.step for metric in logged or ()), default=-1)

    def record(self, entry: Entry) -> None:
        """Log the numbers of an entry, unless an interrupted fit has."""
        values = {f"{entry.stage}/{_valid(name)}": value for name, value in entry.scalars()}
        if values and entry.event != "end" and entry.step > self._recorded:
            self._tried(lambda: self._mlflow.log_metrics(values, step=entry.step))

    def finish(self, metrics: Mapping[str, float]) -> None:
        """Log the metrics of the checkpoint."""
        named = {_valid(name): value for name, value in metrics.items()}
        self._tried(lambda: self._mlflow.log_metrics(named))

    def _begin(self, folder: Path, resumed: bool) -> Any:
        """The active run, as a context."""
        file = folder / MLFLOW_RUN
        if resumed and file.exists():
            return self._mlflow.start_run(run_id=file.read_text(encoding="utf-8").strip())
        run = self._mlflow.start_run(
            run_name=folder.resolve().name, experiment_id=self._experiment()
        )
        write_atomically(file, f"{run.info.run_id}\n".encode())
        return run

    def _experiment(self) -> str | None:
        """Id of the experiment; None where the environment names one."""
        if os.environ.keys() & {"MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"}:
            return None
        found = self._mlflow.get_experiment_by_name(EXPERIMENT)
        if found is None:
            return self._mlflow.create_experiment(EXPERIMENT)
        return found.experiment_id

    def _tried(self, call: Callable[[], Any]) -> Any:
        """Result of a call; None if MLflow fails, which is reported once."""
        try:
            return call()
        except self._problem as error:
            if not self._missed:
                sys.stderr.write(
                    f"MLflow misses metrics of this fit ({_first_line(error)}); they are in "
                    "metrics.jsonl\n"
                )
            self._missed = True
            return None


def _valid(name: str) -> str:
    """Name of a metric with the characters that MLflow allows."""
    return name.replace("@", "_at_")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
