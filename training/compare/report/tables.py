"""Tables of the report."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from training.compare import words
from training.compare.details import Details, Retention
from training.compare.results import DataResult, MethodResult, Results, TaskResult

_NOT_TO_BE_MAXIMISED = {"hubness", "alignment", "uniformity", "threshold"}
_DIGITS = {"hubness": 1, "alignment": 2, "uniformity": 2}
_GEOMETRY_WORDS = (
    "Hubness: skew of how often each is among the first 10, 0 is even. Alignment: mean squared "
    "distance to what should be found. Uniformity: log of the mean kernel over pairs, lower is "
    "more even."
)
_GEOMETRY = (
    ("seen", "hubness"),
    ("unseen", "hubness"),
    ("vectors", "alignment"),
    ("vectors", "uniformity"),
)


@dataclass(frozen=True)
class Cell:
    """A table cell."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Row:
    """A table row."""

    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: of the table.
        caption: explanation; "" for none.
        first: head of the first column.
        columns: heads of the other columns.
        rows: rows with a cell per column.
    """

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    first: str = "method"


def matrices(results: Results) -> list[Table]:
    """Methods by data sets, for each task of more than one data set."""
    found = []
    for task in results.tasks:
        compared = [(data, by) for data in results.data if (by := data.by(task))]
        if len(compared) > 1:
            found.append(_matrix(compared))
    return found


def _matrix(compared: Sequence[tuple[DataResult, TaskResult]]) -> Table:
    rows = []
    for name in dict.fromkeys(each.name for _, result in compared for each in result.standings):
        standings = [result.standing(name) for _, result in compared]
        shown = [each and each.value.mean for each in standings]
        mean = _geometric_mean(shown)
        cells = [
            Cell(words.value(x), result.standings[0].name == name)
            for (_, result), x in zip(compared, shown, strict=True)
        ]
        rows.append((mean or 0, Row(name, (*cells, Cell(words.value(mean))))))
    first = compared[0][1]
    return Table(
        words.TITLES[first.task],
        f"{first.metric}; bold: the best of each. The last column is the geometric mean.",
        (*(data.name for data, _ in compared), "mean"),
        tuple(row for _, row in sorted(rows, key=lambda row: -row[0])),
    )


def _geometric_mean(values: Sequence[float | None]) -> float | None:
    """Geometric mean; None if any value is unknown or not positive."""
    known = [x for x in values if x is not None and x > 0]
    return math.exp(sum(map(math.log, known)) / len(known)) if len(known) == len(values) else None


def overview(data: DataResult) -> Table:
    """Main table of a data set: each task's metric with its interval, for every method."""

    def cell(result: TaskResult, m: MethodResult) -> Cell:
        standing = result.standing(m.name)
        if standing is None:
            return Cell(words.MISSING)
        return Cell(words.with_span(standing.value), m.name == result.standings[0].name)

    seeds = words.counted(data.seeds, "seed")
    over = "splits, queries and seeds" if data.splits > 1 else "queries and seeds"
    return Table(
        "Overview",
        f"Means over {words.counted(data.splits, 'split')} and {seeds} (methods that do not draw "
        f"at random: one seed); 95 % intervals by paired bootstrap over {over}; bold: the best of "
        "each column.",
        tuple(f"{words.TITLES[result.task]} {result.metric}" for result in data.tasks),
        tuple(Row(m.name, tuple(cell(result, m) for result in data.tasks)) for m in data.methods),
    )


def metrics(data: DataResult) -> list[Table]:
    """Table of all metrics for each task."""
    tasks = dict.fromkeys(task for m in data.methods for task in m.metrics)
    found = []
    for task in tasks:
        able = [m for m in data.methods if task in m.metrics]
        names = list(dict.fromkeys(name for m in able for name in m.metrics[task]))
        found.append(_table(able, [(task, name) for name in names], task))
    return found


def geometry(data: DataResult) -> Table | None:
    """Table of vector geometry; None without values."""
    columns = [c for c in _GEOMETRY if any(_known(m, c) for m in data.methods)]
    able = [m for m in data.methods if any(_known(m, column) for column in columns)]
    return _table(able, columns, "Geometry of the vectors", _GEOMETRY_WORDS) if able else None


def cost(data: DataResult) -> Table | None:
    """Table of time and memory of trained methods; None without any."""
    rows = [
        Row(
            m.name,
            (Cell(words.seconds(m.cost.fit_seconds)), Cell(words.megabytes(m.cost.peak_rss_mb))),
        )
        for m in data.methods
        if m.recipe
    ]
    if not rows:
        return None
    return Table(
        "What it took",
        "Mean time and peak resident memory of a fit in its own process.",
        ("fit", "memory"),
        tuple(rows),
    )


def retention(details: Details) -> Table | None:
    """Robustness table: half of the queries corrupted, or all of them with boilerplate."""

    def at(part: Retention | None, share: float, what: str) -> Cell:
        if part is None or share not in part.shares:
            return Cell(words.MISSING)
        return Cell(words.value(getattr(part, what)[part.shares.index(share)], 2))

    found: dict[str, dict[str, Retention]] = {}
    for part in details.retention:
        found.setdefault(part.modality, {})[part.corruption] = part
    if not found:
        return None
    rows = [
        Row(
            modality,
            (
                at(parts.get("drop"), 0.5, "retention"),
                at(parts.get("swap"), 0.5, "retention"),
                at(parts.get("boilerplate"), 1.0, "retention"),
                at(parts.get("boilerplate"), 1.0, "overlap"),
            ),
        )
        for modality, parts in found.items()
    ]
    return Table(
        f"Robustness of {details.retention_of}",
        "Share of the metric that is retained when half of the queries miss a modality or have it "
        "swapped, or all have boilerplate added; and share of the first 20 hits unchanged by the "
        "boilerplate.",
        ("half missing", "half swapped", "boilerplate", "same first 20"),
        tuple(rows),
        first="part",
    )


def _table(
    methods: Sequence[MethodResult],
    columns: Sequence[tuple[str, str]],
    title: str,
    caption: str = "",
) -> Table:
    """Table of metrics (task, name) of methods, with the best values marked."""
    best: dict[tuple[str, str], float] = {}
    for column in columns:
        values = {x for m in methods if (x := _known(m, column)) is not None}
        if len(values) > 1 and column[1] not in _NOT_TO_BE_MAXIMISED:
            best[column] = max(values)
    rows = [Row(m.name, tuple(_cell(m, column, best) for column in columns)) for m in methods]
    return Table(title, caption, tuple(name for _, name in columns), tuple(rows))


def _cell(m: MethodResult, column: tuple[str, str], best: Mapping[tuple[str, str], float]) -> Cell:
    x = _known(m, column)
    return Cell(words.value(x, _DIGITS.get(column[1], 4)), x is not None and x == best.get(column))


def _known(m: MethodResult, column: tuple[str, str]) -> float | None:
    return m.metrics.get(column[0], {}).get(column[1])
