"""The report as one HTML file that needs nothing else: no script, no network, no other file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from training.compare import charts, words
from training.compare.details import Details, Retention
from training.compare.figures import Figure, figures
from training.compare.results import LEVEL, DataResult, MethodResult, Results
from training.evaluation.statistics import DRAWS

_HERE = Path(__file__).parent
_NOT_TO_BE_MAXIMISED = {"hubness", "alignment", "uniformity", "threshold"}
_GEOMETRY = (("neighbours", "hubness"), ("vectors", "alignment"), ("vectors", "uniformity"))
_KINDS: tuple[tuple[charts.Mark, str], ...] = (
    ("recipe", "recipe"),
    ("variant", "variant"),
    ("baseline", "baseline"),
)


@dataclass(frozen=True)
class Cell:
    """A cell of a table; `tint` is the opacity of its ground, "good" or "bad" on `side`."""

    text: str
    best: bool = False
    tint: float = 0.0
    side: str = "good"


def render(results: Results, details: Mapping[str, Details]) -> str:
    """The page.

    Args:
        results: of the comparison.
        details: data set -> what is shown of single runs.
    """
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        css=Markup((_HERE / "report.css").read_text(encoding="utf-8")),
        charts=charts,
        results=results,
        subtitle=_subtitle(results),
        matrix=_matrix(results.data) if len(results.data) > 1 else None,
        sections=[_section(data, details.get(data.name, Details())) for data in results.data],
        method=method(results),
    )


def _subtitle(results: Results) -> str:
    methods = {m.name: m.kind for data in results.data for m in data.methods}
    seeds = max((len(m.seeds) for data in results.data for m in data.methods), default=0)
    counts = [
        (len(results.data), "data set"),
        *((list(methods.values()).count(kind), kind) for kind, _ in _KINDS),
        (seeds, "seed"),
    ]
    return " · ".join(f"{n} {what}{'' if n == 1 else 's'}" for n, what in counts if n)


def method(results: Results) -> list[str]:
    """How it was measured, in paragraphs."""
    if results.split == "test":
        who = "Cold streamers of the test split search those of train and val."
        choice = (
            "Recipes choose their steps on val and are then trained once more on train and val; "
            "baselines choose their settings on val."
        )
    else:
        who = "Cold streamers of the val split search those of train."
        choice = (
            "Recipes and baselines learn from train alone, but choose their steps and settings on "
            "these same streamers of val: all figures are flattering, and for choosing only."
        )
    return [
        f"{who} Relevant are the 20 nearest by the cosine of their audiences that share at least "
        "two users; where no audiences are known, by the given ID-embeddings; where neither is, "
        f"those of the same label. Nothing is learned or counted on a cold streamer. {choice}",
        "Values are means over seeds for each query, then over queries. Intervals are 95 % "
        f"bootstrap intervals over queries ({DRAWS:,} draws, the same ones for all methods), and "
        "so are those of ratios. Differences are paired; p-values are two-sided and corrected for "
        "all comparisons on a data set (Holm 1979). ▲ and ▼ are differences with a corrected "
        f"p < {words.p_value(LEVEL).rstrip('0')}, = is none that these queries show. SE is the "
        "standard error over seeds, which the intervals do not contain.",
    ]


def _matrix(data: Sequence[DataResult]) -> dict[str, Any]:
    """Methods by data sets, each as a ratio to the best baseline where there is one."""
    by_ratio = all(result.best_baseline is not None for result in data)
    kinds = {m.name: m for result in data for m in result.methods}
    asked = {result.references[0] for result in data if result.references}
    rows = []
    for name, first in kinds.items():
        shown = [_ratio(result.method(name), by_ratio) for result in data]
        known = [x for x in shown if x is not None and x > 0]
        mean = math.exp(sum(map(math.log, known)) / len(known)) if len(known) == len(data) else None
        cells = [
            _matrix_cell(result, name, x, by_ratio) for result, x in zip(data, shown, strict=True)
        ]
        rows.append((mean, first, cells))
    rows.sort(key=lambda row: -(row[0] or 0))
    digits = 2 if by_ratio else 4
    unit = "divided by that of the best baseline of its data set" if by_ratio else ""
    return {
        "caption": f"{data[0].metric} {unit}; bold: the best of its data set. The last column is "
        "the geometric mean.",
        "columns": [result.name for result in data],
        "rows": [
            {
                "name": first.name,
                "kind": first.kind,
                "asked": first.name in asked,
                "cells": cells,
                "mean": words.value(mean, digits),
            }
            for mean, first, cells in rows
        ],
    }


def _ratio(found: MethodResult | None, by_ratio: bool) -> float | None:
    if found is None:
        return None
    if by_ratio:
        return None if found.ratio is None else found.ratio.mean
    return found.value.mean


def _matrix_cell(result: DataResult, name: str, x: float | None, by_ratio: bool) -> Cell:
    best = result.methods[0].name == name
    if x is None or not by_ratio:
        return Cell(words.value(x, 4), best)
    tint = round(min(abs(x - 1), 0.5) * 0.9, 2)
    return Cell(words.value(x, 2), best, tint, "good" if x >= 1 else "bad")


def _section(data: DataResult, details: Details) -> dict[str, Any]:
    ends = [x for m in data.methods for x in (m.value.low, m.value.high, m.value.mean)]
    on = charts.scale(ends, zero=True)
    base = data.method(data.best_baseline) if data.best_baseline else None
    line = None if base is None else base.value.mean
    kinds = {m.kind for m in data.methods}
    shown: list[Figure] = figures(data, details)
    return {
        "result": data,
        "finding": words.finding(data),
        "queries": f"{data.queries:,}",
        "kinds": [(kind, name) for kind, name in _KINDS if kind in kinds],
        "axis": charts.axis(on),
        "rows": [_row(data, m, on, line) for m in data.methods],
        "metrics": _metrics(data),
        "retention": _retention(details),
        "retention_of": details.retention_of,
        "cost": _cost(data),
        "geometry": _geometry(data),
        "figures": shown,
        "worst": details.worst,
        "worst_of": details.worst_of,
        "worst_note": _worst_note(details),
    }


def _row(data: DataResult, m: MethodResult, on: charts.Scale, line: float | None) -> dict[str, Any]:
    title = f"{m.name}: {words.value(m.value.mean)}, {words.span(m.value)}"
    return {
        "name": m.name,
        "kind": m.kind,
        "asked": m.name in data.references[:1],
        "settings": ", ".join(m.settings),
        "strip": charts.whisker(on, m.kind, m.value.mean, m.value.low, m.value.high, line, title),
        "value": words.value(m.value.mean),
        "span": words.span(m.value),
        "ratio": words.times(m.ratio),
        "against": [_against(m, name) for name in data.references],
    }


def _cost(data: DataResult) -> list[dict[str, Any]]:
    return [
        {
            "name": m.name,
            "kind": m.kind,
            "asked": m.name in data.references[:1],
            "fit": words.seconds(m.cost.fit_seconds),
            "memory": words.megabytes(m.cost.peak_rss_mb),
            "seeds": len(m.seeds),
            "error": words.value(m.seed_error),
        }
        for m in data.methods
        if m.recipe
    ]


def _against(m: MethodResult, reference: str) -> dict[str, Any] | None:
    comparison = m.against.get(reference)
    if comparison is None:
        return None
    sign = words.verdict(comparison)
    return {
        "sign": sign,
        "side": {"▲": "up", "▼": "down"}.get(sign, "dim"),
        "significant": comparison.is_significant,
        "difference": words.signed(comparison.difference.mean),
        "p": words.p_value(comparison.p_holm),
    }


def _metrics(data: DataResult) -> dict[str, Any]:
    columns = list(
        dict.fromkeys(
            (t, n) for m in data.methods for t, metrics in m.metrics.items() for n in metrics
        )
    )
    return _table(data, columns, columns)


def _geometry(data: DataResult) -> dict[str, Any] | None:
    columns = [c for c in _GEOMETRY if any(c[1] in m.metrics.get(c[0], {}) for m in data.methods)]
    if not columns:
        return None
    return _table(data, columns, [name for _, name in columns])


def _table(
    data: DataResult, columns: Sequence[tuple[str, str]], heads: Sequence[Any]
) -> dict[str, Any]:
    best: dict[tuple[str, str], float] = {}
    for column in columns:
        task, name = column
        found = {m.metrics[task][name] for m in data.methods if name in m.metrics.get(task, {})}
        if len(found) > 1 and name not in _NOT_TO_BE_MAXIMISED:
            best[column] = max(found)
    return {
        "columns": heads,
        "rows": [
            {
                "name": m.name,
                "kind": m.kind,
                "asked": m.name in data.references[:1],
                "cells": [_cell(m, column, best.get(column)) for column in columns],
            }
            for m in data.methods
        ],
    }


def _cell(m: MethodResult, column: tuple[str, str], best: float | None) -> Cell:
    x = m.metrics.get(column[0], {}).get(column[1])
    digits = {"hubness": 1, "alignment": 2, "uniformity": 2}.get(column[1], 4)
    return Cell(words.value(x, digits), x is not None and x == best)


def _retention(details: Details) -> list[dict[str, Any]]:
    """Modality by corruption: half of the streamers damaged, or all of them by boilerplate."""

    def at(part: Retention | None, share: float, what: str) -> str:
        if part is None or share not in part.shares:
            return words.MISSING
        return words.value(getattr(part, what)[part.shares.index(share)], 2)

    found: dict[str, dict[str, Retention]] = {}
    for part in details.retention:
        found.setdefault(part.modality, {})[part.corruption] = part
    return [
        {
            "name": modality,
            "drop": at(parts.get("drop"), 0.5, "retention"),
            "swap": at(parts.get("swap"), 0.5, "retention"),
            "boilerplate": at(parts.get("boilerplate"), 1.0, "retention"),
            "overlap": at(parts.get("boilerplate"), 1.0, "overlap"),
        }
        for modality, parts in found.items()
    ]


def _worst_note(details: Details) -> str:
    worst = details.worst
    if worst is None:
        return ""
    asked = worst.queries - worst.nothing_to_ask
    text = (
        f"{worst.missed:,} of {asked:,} queries find nothing relevant among their first 20 of "
        f"{worst.gallery:,}. The number before a streamer is its rank; bold are the relevant."
    )
    if worst.nothing_to_ask:
        text += f" {worst.nothing_to_ask:,} more show nothing to encode."
    return text
