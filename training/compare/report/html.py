"""Report as one self-contained HTML file, without scripts or network access."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from training.compare import words
from training.compare.details import Details
from training.compare.report import charts, tables
from training.compare.report.figures import figures
from training.compare.results import LEVEL, DataResult, Results, Standing, TaskResult
from training.evaluation.statistics import DRAWS

_HERE = Path(__file__).parent
# Read at import: a comparison takes hours, and the template must match the running code.
_TEMPLATE = (_HERE / "report.html.j2").read_text(encoding="utf-8")
_STYLE = (_HERE / "report.css").read_text(encoding="utf-8")
_KINDS: tuple[tuple[charts.Mark, str], ...] = (
    ("recipe", "recipe"),
    ("variant", "variant"),
    ("baseline", "baseline"),
)


def render(results: Results, details: Mapping[str, Details]) -> str:
    """Render the page.

    Args:
        results: results of the comparison.
        details: data set -> details of single runs.
    """
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string(_TEMPLATE).render(
        css=Markup(_STYLE),
        charts=charts,
        results=results,
        subtitle=_subtitle(results),
        matrices=tables.matrices(results, by_ratio=True),
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
    return [
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
        f"bootstrap intervals over queries ({DRAWS:,} draws, the same ones for all methods), and "
        "so are those of ratios. Differences are paired; p-values are two-sided and corrected for "
        "all comparisons of a table (Holm 1979). ▲ and ▼ mark differences with a corrected "
        f"p < {words.p_value(LEVEL).rstrip('0')}, = marks all others. SE is the standard error "
        "over seeds, which the intervals do not include.",
    ]


def _section(data: DataResult, details: Details) -> dict[str, Any]:
    # One scale for all tasks of a metric, so their charts are comparable.
    on = {
        metric: charts.scale(
            [
                x
                for task in data.tasks
                if task.metric == metric
                for each in task.standings
                for x in (each.value.low, each.value.high, each.value.mean)
            ],
            zero=True,
        )
        for metric in {task.metric for task in data.tasks}
    }
    beside = (tables.retention(details), tables.cost(data), tables.geometry(data))
    return {
        "result": data,
        "overview": tables.overview(data),
        "comparisons": [_comparison(data, task, on[task.metric]) for task in data.tasks],
        "metrics": tables.metrics(data),
        "figures": figures(data, details),
        "tables": [table for table in beside if table is not None],
        "worst": details.worst,
        "worst_of": details.worst_of,
        "worst_note": _worst_note(details),
    }


def _comparison(data: DataResult, result: TaskResult, on: charts.Scale) -> dict[str, Any]:
    base = result.standing(result.best_baseline) if result.best_baseline else None
    line = None if base is None else base.value.mean
    kinds = {each.kind for each in result.standings}
    return {
        "result": result,
        "title": words.TITLES[result.task],
        "about": words.about(data, result),
        "finding": words.finding(result),
        "queries": f"{result.queries:,}",
        "kinds": [(kind, name) for kind, name in _KINDS if kind in kinds],
        "axis": charts.axis(on),
        "has_seeds": any(each.seed_error is not None for each in result.standings),
        "rows": [_row(data, result, each, on, line) for each in result.standings],
    }


def _row(
    data: DataResult, result: TaskResult, each: Standing, on: charts.Scale, line: float | None
) -> dict[str, Any]:
    value, of = each.value, data.method(each.name)
    title = f"{each.name}: {words.value(value.mean)}, {words.span(value)}"
    return {
        "name": each.name,
        "kind": each.kind,
        "asked": each.name in data.references[:1],
        "settings": _breakable("" if of is None else ", ".join(of.settings)),
        "strip": charts.whisker(on, each.kind, value.mean, value.low, value.high, line, title),
        "value": words.value(value.mean),
        "span": words.span(value),
        "error": words.value(each.seed_error),
        "ratio": words.times(each.ratio),
        "against": [_against(each, name) for name in result.references],
    }


def _breakable(text: str) -> Markup:
    """Allow line breaks at underscores."""
    return Markup("_<wbr/>").join(text.split("_"))


def _against(each: Standing, reference: str) -> dict[str, Any] | None:
    comparison = each.against.get(reference)
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


def _worst_note(details: Details) -> str:
    worst = details.worst
    if worst is None:
        return ""
    asked = worst.queries - worst.nothing_to_ask
    text = (
        f"By content, {worst.missed:,} of {asked:,} queries have no relevant hit among their first "
        f"20 of {worst.gallery:,}. The number before a streamer is its rank; relevant streamers "
        "are bold."
    )
    if worst.nothing_to_ask:
        text += f" {worst.nothing_to_ask:,} more queries have no content."
    return text
