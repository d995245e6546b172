"""Formatting of numbers and findings for tables, charts and logs."""

from collections.abc import Iterable, Sequence

from training.compare.results import LEVEL, Comparison, DataResult, Estimate, Standing, TaskResult

TITLES = {
    "seen": "seen gallery",
    "unseen": "unseen gallery",
    "cold start": "cold start",
    "audience": "audience",
    "labels": "labels",
}
"""Task -> title of the comparison."""
_ABOUT = {
    "seen": "Cold streamers search those that methods learned from; content represents both sides.",
    "unseen": "Cold streamers search each other by content; nothing was learned from either side.",
    "cold start": "Cold streamers search established ones, whose behaviour may be used openly.",
    "audience": "Cold streamers search the users who will watch them.",
    "labels": "Cold streamers search those of their label.",
}
MISSING = "–"
MINUS = "−"


def value(x: float | None, digits: int = 4) -> str:
    """Number with a fixed number of decimals."""
    if x is None:
        return MISSING
    text = f"{x:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def signed(x: float, digits: int = 4) -> str:
    """Number with its sign."""
    text = value(x, digits)
    return text if text.startswith(MINUS) else f"+{text}"


def span(estimate: Estimate, digits: int = 4) -> str:
    """Interval of an estimate."""
    return f"{value(estimate.low, digits)} to {value(estimate.high, digits)}"


def with_span(estimate: Estimate, digits: int = 3) -> str:
    """Estimate followed by its interval in brackets."""
    low, high = value(estimate.low, digits), value(estimate.high, digits)
    return f"{value(estimate.mean, digits)} [{low}, {high}]"


def times(estimate: Estimate | None) -> str:
    """Ratio of an estimate."""
    return MISSING if estimate is None else f"{value(estimate.mean, 2)} ×"


def p_value(p: float) -> str:
    """P-value with three or four decimals."""
    if p < 0.001:
        return "< .001"
    digits = 4 if p < LEVEL and f"{p:.3f}" == f"{LEVEL:.3f}" else 3  # never .050 below 0.05
    return f"{p:.{digits}f}".removeprefix("0")


def verdict(comparison: Comparison) -> str:
    """Sign of a significant difference, `=` otherwise."""
    if not comparison.is_significant:
        return "="
    return "▲" if comparison.difference.mean > 0 else "▼"


def counted(number: int, what: str) -> str:
    """Number of things, such as 1 seed or 3 seeds."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def seconds(x: float | None) -> str:
    """Duration such as 0.8 s, 43 s, 2 min 5 s, 1 h 4 min."""
    if x is None:
        return MISSING
    if x < 9.95:
        return f"{x:.1f} s"
    whole = round(x)
    if whole < 60:
        return f"{whole} s"
    big, small, units = (
        (whole, 60, ("min", "s")) if whole < 3600 else (whole // 60, 60, ("h", "min"))
    )
    rest = f" {big % small} {units[1]}" if big % small else ""
    return f"{big // small} {units[0]}{rest}"


def megabytes(x: float | None) -> str:
    """Memory size, given in MiB."""
    return MISSING if x is None else f"{x:,.0f} MB"


def listed(names: Iterable[str], at_most: int = 4) -> str:
    """Enumeration of names in a sentence."""
    shown = list(names)
    if len(shown) > at_most:
        return f"{', '.join(shown[:at_most])} and {len(shown) - at_most} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def about(data: DataResult, result: TaskResult) -> str:
    """Description of a task, and the methods it does not apply to."""
    lacking = data.lacking(result)
    return _ABOUT[result.task] + (f" It does not apply to {listed(lacking)}." if lacking else "")


def finding(result: TaskResult) -> str:
    """Finding of one task on a data set, in a few sentences."""
    leader = result.standings[0]
    asked = result.standing(result.references[0]) if result.references else None
    if asked is None or asked.kind == "baseline":
        alone = all(each.kind == "baseline" for each in result.standings)
        kind = "Only baselines were compared" if alone else "The method in question is missing"
        return f"{kind}; {leader.name} leads with {result.metric} {value(leader.value.mean)}."
    if asked is leader:
        place = "leads"
    else:
        place = f"is number {result.standings.index(asked) + 1} of {len(result.standings)}"
    first = f"{asked.name} {place} with {result.metric} {value(asked.value.mean)}"
    sentences = [first + _beside_baseline(result, asked)]
    if asked is not leader:
        how = "significantly" if leader.against[asked.name].is_significant else "not significantly"
        sentences.append(f"{leader.name} leads with {value(leader.value.mean)}, {how} more")
    sentences += _against(result, asked.name)
    return ". ".join(sentences) + "."


def _beside_baseline(result: TaskResult, asked: Standing) -> str:
    base = result.standing(result.best_baseline) if result.best_baseline else None
    if asked.ratio is None or base is None:
        return ""
    interval = f"95\N{NO-BREAK SPACE}% interval of the ratio {span(asked.ratio, 2)}"
    return (
        f", {value(asked.ratio.mean, 2)} times the best baseline "
        f"({base.name}, {value(base.value.mean)}; {interval})"
    )


def _against(result: TaskResult, name: str) -> list[str]:
    """Significant differences between a method and all others."""
    others = [each for each in result.standings if name in each.against]
    if not others:
        return []
    below, above = (_names(others, name, beaten=beaten) for beaten in (True, False))
    if len(below) == len(others):
        all_of_them = others[0].name if len(others) == 1 else f"all {len(others)} others"
        return [f"{name} is significantly above {all_of_them}"]
    unsure = [m.name for m in others if not m.against[name].is_significant]
    text = f"{name} is significantly above {len(below) or 'none'} of the {len(others)} others"
    if above:
        text += f" and below {listed(above)}"
    if unsure:
        text += f"; it does not differ significantly from {listed(unsure)}"
    return [text]


def _names(methods: Sequence[Standing], reference: str, *, beaten: bool) -> list[str]:
    """Methods significantly below the reference, or above it."""
    return [
        m.name
        for m in methods
        if (c := m.against[reference]).p_holm < LEVEL and (c.difference.mean < 0) is beaten
    ]
