"""Charts of one data set, drawn by Matplotlib."""

import io
from collections.abc import Callable, Sequence

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.compare import words
from training.compare.details import Details
from training.compare.results import DataResult, TaskResult

_COLOURS = {"recipe": "C0", "variant": "C9", "baseline": "C7"}
_SIZE = 6.5, 4.0  # inches of each chart


def draw(data: DataResult, details: Details) -> bytes:
    """Draw intervals of every task, training curves, robustness and precision as one SVG."""
    parts: list[Callable[[Axes], None]] = [
        lambda axes, task=task: _intervals(axes, task) for task in data.tasks
    ]
    for metric in sorted({curve.metric for curve in details.training}):
        parts.append(lambda axes, metric=metric: _training(axes, details, metric))
    for corruption in dict.fromkeys(part.corruption for part in details.retention):
        parts.append(lambda axes, corruption=corruption: _retention(axes, details, corruption))
    if details.calibration:
        parts.append(lambda axes: _precision(axes, details))
    # Names are shown as they are; ids of the SVG do not change from run to run.
    with rc_context({"text.parse_math": False, "svg.hashsalt": data.name, "svg.fonttype": "none"}):
        figure = Figure((_SIZE[0], _SIZE[1] * len(parts)), layout="constrained")
        for axes, part in zip(figure.subplots(len(parts), squeeze=False)[:, 0], parts, strict=True):
            part(axes)
        written = io.BytesIO()
        figure.savefig(written, format="svg", metadata={"Date": None})
    return written.getvalue()


def _intervals(axes: Axes, task: TaskResult) -> None:
    for place, each in enumerate(reversed(task.standings)):
        value = each.value
        spread = [[value.mean - value.low], [value.high - value.mean]]
        axes.errorbar(value.mean, place, xerr=spread, fmt="o", color=_COLOURS[each.kind])
    axes.set_yticks(range(len(task.standings)), [each.name for each in reversed(task.standings)])
    base = task.standing(task.best_baseline) if task.best_baseline else None
    if base is not None:
        axes.axvline(base.value.mean, color=_COLOURS["baseline"], linestyle="--")
    _label(axes, f"{words.TITLES[task.task]}, with 95 % intervals", task.metric, "")


def _training(axes: Axes, details: Details, metric: str) -> None:
    for curve in details.training:
        if curve.metric == metric:
            (line,) = axes.plot(*_columns(curve.points), label=curve.method)
            chosen = [point for point in curve.points if point[0] == curve.chosen]
            axes.plot(*_columns(chosen), "o", color=line.get_color())
    _label(axes, "Training, first seed; a dot marks the chosen step", "step", metric)


def _retention(axes: Axes, details: Details, corruption: str) -> None:
    for part in details.retention:
        if part.corruption == corruption:
            axes.plot(part.shares, part.retention, "o-", label=part.modality)
    title = f"Robustness of {details.retention_of}: {corruption}"
    _label(axes, title, "share of corrupted queries", "share of the metric")


def _precision(axes: Axes, details: Details) -> None:
    for curve in details.calibration:
        name = "95 % lower bound, before any refit" if curve.is_bound else curve.name
        axes.plot(*_columns(curve.points), "--" if curve.is_bound else "-", label=name)
    title = f"Answers of {details.calibration_of} above a score"
    _label(axes, title, "cosine", "precision")


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small")
