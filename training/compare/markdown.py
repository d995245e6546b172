"""The results as Markdown tables, to be pasted into documentation."""

from collections.abc import Sequence

from training.compare import words
from training.compare.results import DataResult, MethodResult, Results


def render(results: Results) -> str:
    """An overview of all data sets, then a finding and a table for each."""
    parts = ["# Retrieval quality compared", ""]
    if results.failures:
        parts += ["Failed, and missing below:", ""]
        parts += [f"- {_cell(f.name)}: {_cell(f.reason)}" for f in results.failures] + [""]
    if len(results.data) > 1:
        parts += _overview(results.data)
    for data in results.data:
        parts += [f"## {_cell(data.name)}", "", _cell(words.finding(data)), "", *_table(data), ""]
    parts += ["Made by", "", f"    {results.command}", ""]
    return "\n".join(parts)


def _overview(data: Sequence[DataResult]) -> list[str]:
    """Methods by data sets."""
    kinds = {m.name: m.kind for result in data for m in result.methods}
    rows = []
    for name in kinds:
        cells = []
        for result in data:
            found = result.method(name)
            text = words.value(None if found is None else found.value.mean)
            cells.append(f"**{text}**" if result.methods[0].name == name else text)
        rows.append([name, *cells])
    lines = _aligned([data[0].metric, *(result.name for result in data)], rows)
    return [*lines, "", "The best of each data set is bold.", ""]


def _table(data: DataResult) -> list[str]:
    heads = ["method", data.metric, "95 % interval", "of best baseline"]
    heads += [f"against {name} (p, Holm)" for name in data.references]
    heads += ["fit", "memory"]
    rows = [
        [
            m.name + (f" ({', '.join(m.settings)})" if m.settings else ""),
            words.value(m.value.mean),
            words.span(m.value),
            words.times(m.ratio),
            *(_against(m, name) for name in data.references),
            words.seconds(m.cost.fit_seconds),
            words.megabytes(m.cost.peak_rss_mb),
        ]
        for m in data.methods
    ]
    return _aligned(heads, rows)


def _against(m: MethodResult, reference: str) -> str:
    found = m.against.get(reference)
    if found is None:
        return words.MISSING
    sign = words.verdict(found)
    return f"{sign} {words.signed(found.difference.mean)} ({words.p_value(found.p_holm)})"


def _aligned(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table whose source is readable too; all columns but the first are numbers."""
    table = [[_cell(text) for text in row] for row in (heads, *rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        padded = [cells[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return [line(table[0]), line(rule), *(line(row) for row in table[1:])]


def _cell(text: str) -> str:
    """Text that can't break out of a cell or become markup."""
    line = " ".join(text.split())
    return "".join(f"\\{c}" if c in "|<>`[]" else c for c in line)
