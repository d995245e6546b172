"""Figures of a data set."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from training.compare import words
from training.compare.details import Details
from training.compare.report.charts import Series, line_chart
from training.compare.results import DataResult, MethodResult

COLOURS = 6
NOISE = "teacher_noise"


@dataclass(frozen=True)
class Figure:
    """A chart with title and caption."""

    title: str
    caption: str
    chart: Markup


def figures(data: DataResult, details: Details) -> list[Figure]:
    """All figures with data."""
    return [
        *_training(data, details),
        *_noise(data),
        *_retention(details),
        *_calibration(details),
    ]


def _training(data: DataResult, details: Details) -> list[Figure]:
    """Chart per validation metric, with variants in the background."""
    found = []
    kinds = {method.name: method.kind for method in data.methods}
    recipes = [c.method for c in details.training if kinds.get(c.method) == "recipe"]
    # A recipe has the same colour in all charts; the main method has the first colour.
    styles = _styles([*data.references[:1], *recipes])
    for metric in sorted({curve.metric for curve in details.training}):
        curves = [c for c in details.training if c.metric == metric and len(c.points) > 1]
        if not curves:
            continue
        series = [
            Series(
                curve.method,
                tuple(curve.points),
                styles.get(curve.method),
                next((p for p in curve.points if p[0] == curve.chosen), None),
            )
            for curve in curves
        ]
        found.append(
            Figure(
                f"Training: {metric} on validation",
                "First seed; a dot marks the chosen step.",
                line_chart(_drawn(series), "step", metric),
            )
        )
    return found


def _noise(data: DataResult) -> list[Figure]:
    """Metric by injected label noise, per recipe."""
    first = data.tasks[0]
    groups: dict[tuple[str, tuple[str, ...]], list[tuple[float, float]]] = {}
    for method in data.methods:
        share = _noise_of(method)
        standing = first.standing(method.name)
        if method.recipe and standing is not None and share is not None:
            key = (method.recipe, _without_noise(method.settings))
            groups.setdefault(key, []).append((100 * share, standing.value.mean))
    tried = {key: sorted(points) for key, points in groups.items() if len(points) > 1}
    if not tried:
        return []
    names = [" ".join([recipe, *settings]) for recipe, settings in tried]
    styles = _styles(sorted(names, key=lambda name: name not in data.references[:1]))
    series = [
        Series(name, tuple(points), styles.get(name))
        for name, points in zip(names, tried.values(), strict=True)
    ]
    alone = first.standing("masked-views")
    if alone is not None:
        last = max(point[0] for points in tried.values() for point in points)
        level = alone.value.mean
        series.append(Series("masked-views", ((0.0, level), (last, level)), dashed=True))
    return [
        Figure(
            "Label noise of the teacher",
            f"{first.metric} ({words.TITLES[first.task]}) by share of swapped teacher vectors"
            + ("; dashed: without a teacher." if alone is not None else "."),
            line_chart(
                _drawn(series), "% of the teacher swapped", first.metric, zero=True, dots=True
            ),
        )
    ]


def _noise_of(method: MethodResult) -> float | None:
    """Share of swapped vectors; None for a baseline."""
    if method.kind == "baseline":
        return None
    for setting in method.settings:
        name, _, text = setting.partition("=")
        if name == NOISE:
            return float(text)
    return 0.0


def _without_noise(settings: Iterable[str]) -> tuple[str, ...]:
    return tuple(setting for setting in settings if not setting.startswith(f"{NOISE}="))


def _retention(details: Details) -> list[Figure]:
    """Chart per corruption, with equal colours for the most sensitive modalities."""
    found = []
    by_harm = sorted(details.retention, key=lambda part: part.retention[-1])
    styles = _styles([part.modality for part in by_harm])
    words = {
        "drop": "Robustness to missing modalities",
        "swap": "Robustness to swapped modalities",
        "boilerplate": "Robustness to boilerplate",
    }
    for corruption in dict.fromkeys(each.corruption for each in details.retention):
        parts = [each for each in details.retention if each.corruption == corruption]
        series = [
            Series(
                part.modality,
                tuple(
                    (100 * share, x) for share, x in zip(part.shares, part.retention, strict=True)
                ),
                styles.get(part.modality),
            )
            for part in parts
        ]
        found.append(
            Figure(
                words.get(corruption, corruption),
                f"{details.retention_of}: share of the metric that is retained, by the share of "
                "corrupted queries.",
                line_chart(_drawn(series), "% of the streamers", "retention", zero=True, dots=True),
            )
        )
    return found


def _calibration(details: Details) -> list[Figure]:
    curves = [curve for curve in details.calibration if curve.points]
    if not curves:
        return []
    counts_as = details.calibration_source.partition(";")[0]
    styles = _styles([curve.name for curve in curves if not curve.is_bound])
    series = [
        Series(
            "lower bound" if c.is_bound else c.name,
            tuple(c.points),
            styles.get(c.name),
            dashed=c.is_bound,
        )
        for c in curves
    ]
    return [
        Figure(
            "Score to precision",
            f"{details.calibration_of}: precision of the answers above a score. Dashed: 95 % lower "
            f"bound, measured before any refit. Here, {counts_as}.",
            line_chart(_drawn(series), "cosine", "precision", zero=True),
        )
    ]


def _styles(names: Sequence[str]) -> dict[str, int]:
    """Colours of the first few names."""
    return {name: place for place, name in enumerate(list(dict.fromkeys(names))[:COLOURS])}


def _drawn(series: Sequence[Series]) -> list[Series]:
    """Drawing order: background first, main method last."""
    order: Callable[[Series], float] = lambda s: -1 if s.style is None else COLOURS - s.style  # noqa: E731
    return sorted(series, key=order)
