"""Results as Markdown, with tables."""

from collections.abc import Mapping, Sequence

from training.compare import words
from training.compare.details import Details
from training.compare.report import tables
from training.compare.report.tables import Table
from training.compare.results import (
    LEVEL,
    DataResult,
    MethodResult,
    Results,
    Standing,
    TaskResult,
)
from training.compare.worst import Hit, Shown, WorstCases
from training.evaluation.statistics import DRAWS

_TAGS = 6


def render(
    results: Results, details: Mapping[str, Details], charts: Mapping[str, str] | None = None
) -> str:
    """Render an overview per task, then findings and tables per data set.

    Args:
        results: results of the comparison.
        details: data set -> details of single runs.
        charts: data set -> address of its charts.
    """
    parts = ["# Retrieval quality compared", ""]
    if results.failures:
        parts += ["Failed, and missing below:", ""]
        parts += [f"- {_cell(f.name)}: {_cell(f.reason)}" for f in results.failures] + [""]
    for table in tables.matrices(results):
        parts += [f"## {table.title.capitalize()}", "", *_overview(table), ""]
        parts += [table.caption, ""]
    for data in results.data:
        overview = tables.overview(data)
        parts += [f"## {_cell(data.name)}", "", *_overview(overview), "", overview.caption, ""]
        for task in data.tasks:
            parts += [f"### {_cell(data.name)} · {words.TITLES[task.task]}", ""]
            parts += [_cell(words.about(data, task)), "", _cell(words.finding(task)), ""]
            parts += [*_table(data, task), ""]
        about = details.get(data.name, Details())
        beside = (tables.cost(data), tables.geometry(data), tables.retention(about))
        for table in [table for table in beside if table is not None]:
            parts += [f"### {_cell(data.name)} · {table.title.lower()}", "", table.caption, ""]
            parts += [*_overview(table), ""]
        if charts is not None and data.name in charts:
            parts += [f"![Charts]({charts[data.name]})", ""]
        if about.worst is not None and about.worst.cases:
            parts += [f"### {_cell(data.name)} · worst cases of {about.worst_of}", ""]
            parts += [_worst_note(about.worst), "", *_worst(about.worst), ""]
        for table in tables.metrics(data):
            title = f"{_cell(data.name)} · all that was measured of {table.title}"
            parts += [f"### {title}", "", *_overview(table), ""]
    parts += ["## How it was measured", ""]
    parts += [part for text in _method(results) for part in (text, "")]
    parts += [f"Code {results.code_version}, made {results.made_at} by", ""]
    parts += [f"    {results.command}", ""]
    return "\n".join(parts)


def _overview(table: Table) -> list[str]:
    rows = [
        [row.name, *(f"**{cell.text}**" if cell.best else cell.text for cell in row.cells)]
        for row in table.rows
    ]
    return _aligned([table.first, *table.columns], rows)


def _table(data: DataResult, result: TaskResult) -> list[str]:
    several = result.splits > 1
    heads = ["method", result.metric, "95 % interval", "SE over seeds"]
    heads += [*(["SE over splits"] if several else []), "of best baseline"]
    heads += [f"against {name} (p, Holm)" for name in result.references]
    rows = [
        [
            each.name + _settings(data.method(each.name)),
            words.value(each.value.mean),
            words.span(each.value),
            words.value(each.seed_error),
            *([words.value(each.split_error)] if several else []),
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


def _method(results: Results) -> list[str]:
    """Description of the method, in paragraphs."""
    if results.split == "test":
        who = "Cold streamers of the test split search those of train and val."
        choice = (
            "Recipes choose their steps on val and are then refit on train and val; baselines "
            "choose their settings on val. Both go by the mean of the seen and the unseen gallery."
        )
    else:
        who = "Cold streamers of the val split search those of train."
        choice = (
            "Recipes and baselines learn from train alone, but choose their steps and settings on "
            "the same streamers of val, so all figures are optimistic and for selection only."
        )
    found = [
        f"{who} Relevant are the 20 nearest by the cosine of their audiences that share at least "
        "two users; where no audiences are known, by the given ID-embeddings; where neither is, "
        f"those of the same label. Nothing is learned or counted on a cold streamer. {choice}",
        "Seen gallery: the streamers that methods learned from; content represents both sides, but "
        "trained methods may remember the gallery's audiences. Unseen gallery: the other cold "
        "streamers, so nothing was learned from either side; this is what a service finds between "
        "two trainings. Methods that represent the gallery by behaviour take part in neither. Cold "
        "start: the gallery of the first task, whose behaviour may be used openly; the established "
        "streamers that resemble the query vote for their neighbours, with recipes that have a "
        "teacher and with every baseline that is better for it on val.",
        "Values are means over seeds for each query, then over queries. Intervals are 95 % "
        f"bootstrap intervals over queries ({DRAWS:,} draws, the same ones for all methods) and, "
        "for methods with several, over seeds, which each draw takes with replacement; of few "
        "seeds, the intervals hold too little of their spread. So are those of ratios. "
        "Differences are paired; p-values are two-sided and corrected for all comparisons of a "
        "table (Holm 1979). ▲ and ▼ mark differences with a corrected "
        f"p < {words.p_value(LEVEL).rstrip('0')}, = marks all others. SE is the standard error "
        "over seeds.",
    ]
    splits = max((data.splits for data in results.data), default=1)
    if splits > 1:
        found.append(_of_splits(splits))
    return found


def _of_splits(splits: int) -> str:
    return (
        f"All of this was done on {splits} splits of each data set: its own, and others that deal "
        "its streamers anew in the same proportions, known duplicates together. Settings and steps "
        "are chosen on val of each. Values are means over splits in the end, and each bootstrap "
        "draw takes splits with replacement as well, the same ones for all methods (a hierarchical "
        "bootstrap, Davison & Hinkley 1997); a streamer that asks in several splits is drawn for "
        "all of them at once. A method that did not finish on every split is missing. Splits share "
        "streamers that are learned from, so their results vary together, and the intervals and "
        "the SE over splits are too narrow (Bengio & Grandvalet 2004); of few splits they hold too "
        "little of the spread as well. What varies by split and query at once counts up to three "
        "times (Owen 2007), which errs to the wide side. Curves, precision, robustness and "
        "worst cases are of each method's first run that did not fail."
    )


def _worst_note(worst: WorstCases) -> str:
    asked = worst.queries - worst.nothing_to_ask
    text = (
        f"By content, {worst.missed:,} of {asked:,} queries have no relevant hit among their first "
        f"20 of {worst.gallery:,}. The number before a streamer is its rank; relevant streamers "
        "are bold."
    )
    if worst.nothing_to_ask:
        text += f" {worst.nothing_to_ask:,} more queries have no content."
    return text


def _worst(worst: WorstCases) -> list[str]:
    rows = [
        [
            words.value(case.score, 2),
            " ".join([_profile(case.query), case.query.bio, *case.query.titles]),
            ", ".join(map(_hit, case.found)),
            ", ".join(map(_hit, case.wanted)),
        ]
        for case in worst.cases
    ]
    return _aligned(["NDCG@20", "streamer", "found first", "wanted most"], rows)


def _hit(hit: Hit) -> str:
    shown = f"{hit.rank:,} {_profile(hit.profile)}"
    return f"**{shown}**" if hit.wanted else shown


def _profile(profile: Shown) -> str:
    tags = profile.tags[:_TAGS]
    return (profile.name or profile.id) + (f" ({', '.join(tags)})" if tags else "")
