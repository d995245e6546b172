"""Results as Markdown tables, for documentation."""

from collections.abc import Sequence

from training.compare import words
from training.compare.report.tables import Table, cost, matrices, overview
from training.compare.results import DataResult, MethodResult, Results, Standing, TaskResult


def render(results: Results) -> str:
    """Render an overview per task, then findings and tables per data set."""
    parts = ["# Retrieval quality compared", ""]
    if results.failures:
        parts += ["Failed, and missing below:", ""]
        parts += [f"- {_cell(f.name)}: {_cell(f.reason)}" for f in results.failures] + [""]
    for table in matrices(results, by_ratio=False):
        parts += [f"## {table.title.capitalize()}", "", *_overview(table), ""]
        parts += [table.caption, ""]
    for data in results.data:
        parts += [f"## {_cell(data.name)}", "", *_overview(overview(data)), ""]
        for task in data.tasks:
            parts += [f"### {_cell(data.name)} · {words.TITLES[task.task]}", ""]
            parts += [_cell(words.about(data, task)), "", _cell(words.finding(task)), ""]
            parts += [*_table(data, task), ""]
        took = cost(data)
        if took is not None:
            parts += [f"### {_cell(data.name)} · {took.title.lower()}", "", *_overview(took), ""]
    parts += ["Made by", "", f"    {results.command}", ""]
    return "\n".join(parts)


def _overview(table: Table) -> list[str]:
    rows = [
        [row.name, *(f"**{cell.text}**" if cell.best else cell.text for cell in row.cells)]
        for row in table.rows
    ]
    return _aligned([table.first, *table.columns], rows)


def _table(data: DataResult, result: TaskResult) -> list[str]:
    heads = ["method", result.metric, "95 % interval", "SE over seeds", "of best baseline"]
    heads += [f"against {name} (p, Holm)" for name in result.references]
    rows = [
        [
            each.name + _settings(data.method(each.name)),
            words.value(each.value.mean),
            words.span(each.value),
            words.value(each.seed_error),
            words.times(each.ratio),
            *(_against(each, name) for name in result.references),
        ]
        for each in result.standings
    ]
    return _aligned(heads, rows)


def _settings(method: MethodResult | None) -> str:
    return f" ({', '.join(method.settings)})" if method and method.settings else ""


def _against(each: Standing, reference: str) -> str:
    found = each.against.get(reference)
    if found is None:
        return words.MISSING
    sign = words.verdict(found)
    return f"{sign} {words.signed(found.difference.mean)} ({words.p_value(found.p_holm)})"


def _aligned(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Markdown table with aligned source; all columns but the first are numbers."""
    table = [[_cell(text) for text in row] for row in (heads, *rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        padded = [cells[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return [line(table[0]), line(rule), *(line(row) for row in table[1:])]


def _cell(text: str) -> str:
    """Text escaped for a table cell."""
    line = " ".join(text.split())
    return "".join(f"\\{c}" if c in "|<>`[]" else c for c in line)
