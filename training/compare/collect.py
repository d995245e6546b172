"""Collects results and details of finished runs for the report."""

import json
import math
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from model_export.contract.calibration import Calibration, Curve, ScoreCalibration
from training.compare.details import Details, PrecisionCurve, TrainingCurve
from training.compare.measure import Measurer
from training.compare.plan import Run, code_version
from training.compare.results import DataResult, Failure, Finished, Results
from training.compare.runs import CHECKPOINT, METRICS, cost_of
from training.compare.summary import summarise
from training.errors import EvaluationError
from training.evaluation.result import Evaluation
from training.models.checkpoint import read_config
from training.tasks.recipes import RECIPES


def collect(
    runs: Sequence[Run],
    failures: Sequence[Failure],
    references: tuple[str, ...],
    arguments: Sequence[str],
    split: str,
) -> Results:
    """Compare the finished runs.

    Args:
        runs: all planned runs.
        failures: failures of this execution.
        references: see `results.references_of`.
        arguments: command-line arguments that repeat the comparison.
        split: split of the queries.
    """
    found: list[DataResult] = []
    missing = list(failures)
    for folder in dict.fromkeys(run.data for run in runs):
        finished = [each for run in runs if run.data == folder and (each := _finished(run))]
        if not finished:
            continue
        try:
            found.append(summarise(finished, references))
        except EvaluationError as error:
            missing.append(Failure(folder.name, str(error)))
    return Results(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        code_version=code_version(),
        command=shlex.join(["python", "-m", "training", "compare", *arguments]),
        split=split,
        data=tuple(found),
        failures=tuple(missing),
    )


def _finished(run: Run) -> Finished | None:
    cost = cost_of(run)
    if cost is None:
        return None
    return Finished(run, Evaluation.load(run.folder / METRICS), cost)


def details_of(
    runs: Sequence[Run], data: DataResult, measurer: Measurer, robustness: bool
) -> Details:
    """Details of single runs on a data set, from the first finished run of each method.

    Args:
        runs: all planned runs.
        data: result of the data set.
        measurer: for worst cases and robustness.
        robustness: whether to measure the robustness of the best trained method.
    """
    first: dict[str, Run] = {}
    for run in runs:
        if run.data.name == data.name and cost_of(run) is not None:
            first.setdefault(run.method.name, run)
    asked = first.get(data.references[0]) if data.references else None
    calibration = _calibration(asked) if asked else None
    best = next((first[m.name] for m in data.methods if m.recipe), None) if robustness else None
    curves = [_training(run) for run in first.values() if run.method.recipe]
    return Details(
        retention_of=best.method.name if best else "",
        retention=measurer.retention(best) if best and data.by("seen") else [],
        training=[curve for curve in curves if curve.points],
        calibration_of=asked.method.name if asked else "",
        calibration_source=calibration.source if calibration else "",
        calibration=_precision(calibration) if calibration else [],
        worst_of=asked.method.name if asked else "",
        worst=measurer.worst(asked) if asked else None,
    )


def _training(run: Run) -> TrainingCurve:
    """Curve of a fit; without points where validation measured nothing, which is kept as NaN."""
    folder = run.folder / CHECKPOINT
    metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    history = read_config(folder)["validation_history"]
    return TrainingCurve(
        method=run.method.name,
        metric=RECIPES[run.method.recipe].metric,
        points=[(step, value) for step, value in history if math.isfinite(value)],
        chosen=metrics["validation_step"],
    )


def _calibration(run: Run) -> ScoreCalibration | None:
    """Calibration of the embedding cosines, if the checkpoint has one."""
    if not run.method.recipe:
        return None
    stored = read_config(run.folder / CHECKPOINT).get("calibration")
    return None if stored is None else Calibration.model_validate(stored).embedding


def _precision(calibration: ScoreCalibration) -> list[PrecisionCurve]:
    """Precision curves of all queries and of each group, and the bound of the first."""

    def points(curve: Curve, what: str) -> list[tuple[float, float]]:
        return [(knot.score, getattr(knot, what)) for knot in reversed(curve.knots)]

    found = [
        PrecisionCurve(name=curve.describe(), points=points(curve, "precision"))
        for curve in calibration.curves
    ]
    for curve in calibration.curves[:1]:
        bound = points(curve, "at_least")
        found.append(PrecisionCurve(name=curve.describe(), points=bound, is_bound=True))
    return found


def as_json(results: Results, details: dict[str, Details]) -> str:
    """Results and details as JSON."""
    content: dict[str, Any] = asdict(results)
    for data in content["data"]:
        data["details"] = details[data["name"]].model_dump()
    return json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
