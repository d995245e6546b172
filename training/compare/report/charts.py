"""SVG charts: pure functions from numbers to markup.

Colours are classes of `report.css`, which serve light and dark mode. Charts in tables are
positioned in per cent without a viewBox, so they fill their cell while texts and marks keep their
size. All texts are escaped.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from markupsafe import Markup

Mark = Literal["recipe", "variant", "baseline"]

_MARKS: dict[Mark, Markup] = {
    "recipe": Markup('<circle r="5"/>'),
    "variant": Markup('<circle r="4.25"/>'),
    "baseline": Markup('<rect x="-4" y="-4" width="8" height="8" transform="rotate(45)"/>'),
}


@dataclass(frozen=True)
class Scale:
    """A linear scale.

    Attributes:
        low, high: ends of the scale.
        ticks: round numbers on it.
    """

    low: float
    high: float
    ticks: tuple[float, ...]

    def share(self, x: float) -> float:
        """Position of a value in [0, 1], clamped."""
        return min(max((x - self.low) / (self.high - self.low), 0.0), 1.0)

    def label(self, tick: float) -> str:
        """Label of a tick, with equal decimals for all ticks."""
        digits = next(d for d in range(13) if all(abs(t - round(t, d)) < 1e-12 for t in self.ticks))
        return f"{tick:,.{digits}f}".replace("-", "−")


def scale(
    values: Sequence[float], count: int = 4, zero: bool = False, tight: bool = False
) -> Scale:
    """Scale for values, with about `count` ticks at 1, 2 or 5 times a power of ten.

    Args:
        values: at least one.
        count: number of ticks.
        zero: whether to include zero.
        tight: whether to end at the values instead of ticks.
    """
    low, high = min(values), max(values)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if not high > low:
        pad = abs(high) / 2 or 1.0
        low, high = (low, high + pad) if zero else (low - pad, high + pad)
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough * 0.999)
    spare = 0.15  # so much of a step may lie beyond the last tick
    first, last = math.floor(low / step + spare), math.ceil(high / step - spare)
    ticks = tuple(round(i * step, 12) for i in range(first, last + 1))
    if tight:
        return Scale(low, high, tuple(tick for tick in ticks if low <= tick <= high))
    return Scale(min(low, ticks[0]), max(high, ticks[-1]), ticks)


def axis(on: Scale) -> Markup:
    """Axis in the head of a column of `whisker`s."""
    labels = Markup("").join(
        Markup('<text x="{}%" y="12" text-anchor="middle">{}</text>').format(
            _percent(on, tick), on.label(tick)
        )
        for tick in on.ticks
    )
    return Markup('<svg class="axis" width="100%" height="16" aria-hidden="true">{}</svg>').format(
        labels
    )


def whisker(
    on: Scale, mark: Mark, mean: float, low: float, high: float, line: float | None, title: str
) -> Markup:
    """Dot with its interval, for a table cell.

    Args:
        on: scale of the column.
        mark: kind of method, which sets shape and colour.
        mean: value of the dot.
        low: lower end of the interval.
        high: upper end of the interval.
        line: reference value, drawn dashed; None for none.
        title: accessible title and tooltip.
    """
    grid = Markup("").join(_upright(on, tick, "grid") for tick in on.ticks)
    compared = Markup("") if line is None else _upright(on, line, "compared")
    return Markup(
        '<svg class="strip {}" width="100%" height="100%" role="img"><title>{}</title>{}{}'
        '<line class="whisker" x1="{}%" x2="{}%" y1="50%" y2="50%"/>'
        '<svg class="mark" x="{}%" y="50%">{}</svg></svg>'
    ).format(
        mark,
        title,
        grid,
        compared,
        _percent(on, low),
        _percent(on, high),
        _percent(on, mean),
        _MARKS[mark],
    )


def key(mark: Mark) -> Markup:
    """Mark of a kind of method, for a legend in text."""
    return Markup(
        '<svg class="strip {}" width="12" height="12" aria-hidden="true">{}</svg>'
    ).format(mark, Markup('<svg class="mark" x="6" y="6">{}</svg>').format(_MARKS[mark]))


def _upright(on: Scale, x: float, kind: str) -> Markup:
    place = _percent(on, x)
    return Markup('<line class="{}" x1="{}%" x2="{}%" y1="0" y2="100%"/>').format(
        kind, place, place
    )


def _percent(on: Scale, x: float) -> float:
    return round(100 * on.share(x), 2)


@dataclass(frozen=True)
class Series:
    """A line of a chart.

    Attributes:
        name: label at its end.
        points: (x, y), by x.
        style: number of its colour, 0 for the main method; None = background.
        marked: highlighted point.
        dashed: whether it is dashed.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    style: int | None = None
    marked: tuple[float, float] | None = None
    dashed: bool = False


_WIDTH, _HEIGHT = 380, 240
_LEFT, _TOP, _BOTTOM = 46, 10, 34
_LETTER, _LINE = 7.5, 13.5
_GAP, _LEADER = 8, 16  # from the plot to the names; as much more where lines lead to them
_MOST_TICKS = 6


def line_chart(
    series: Sequence[Series], x_name: str, y_name: str, zero: bool = False, dots: bool = False
) -> Markup:
    """Line chart with labels at the ends of the lines, 380 wide.

    Args:
        series: at least one, each with a point; later ones are drawn on top.
        x_name: label of the x-axis.
        y_name: accessible name of the y-axis, which has no visible label.
        zero: whether the y-axis starts at zero.
        dots: whether points are drawn, with their own ticks if they are few.
    """
    height = _HEIGHT - _TOP - _BOTTOM
    every = [point for each in series for point in each.points]
    xs, ys = scale([x for x, _ in every], tight=True), scale([y for _, y in every], zero=zero)
    measured = tuple(sorted({x for x, _ in every}))
    if dots and len(measured) <= _MOST_TICKS:
        xs = replace(xs, ticks=measured)
    # Leaders connect lines with labels that are moved.
    ends = [(_TOP + height * (1 - ys.share(each.points[-1][1])), each) for each in series]
    names = _spread(ends, _TOP, _TOP + height)
    led = any(abs(at - y) > 4 or each.points[-1][0] < xs.high for at, y, each in names)
    gap = _GAP + (_LEADER if led else 0)
    longest = max(len(each.name) for each in series)
    right = min(max(longest * _LETTER + gap + 4, 24), _WIDTH * 0.45)
    width = _WIDTH - _LEFT - right

    def place(point: tuple[float, float]) -> tuple[float, float]:
        x, y = _LEFT + width * xs.share(point[0]), _TOP + height * (1 - ys.share(point[1]))
        return round(x, 1), round(y, 1)

    parts = [_axes(xs, ys, width, height, x_name)]
    for each in series:
        placed = [place(point) for point in each.points]
        parts.append(_line(each, placed, dots, None if each.marked is None else place(each.marked)))
    begin = round(_LEFT + width + gap, 1)
    for _, y, each in names:
        if led:
            x, end = place(each.points[-1])
            parts.append(
                Markup('<line class="leader {}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
                    _style(each), x + 4, end, round(begin - 3, 1), round(y, 1)
                )
            )
        parts.append(
            Markup('<text class="name {}" x="{}" y="{}">{}</text>').format(
                _style(each), begin, round(y + 4, 1), each.name
            )
        )
    label = f"{y_name} by {x_name}: {', '.join(each.name for each in series)}"
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(_WIDTH, _HEIGHT, label, Markup("").join(parts))


def _axes(xs: Scale, ys: Scale, width: float, height: float, x_name: str) -> Markup:
    bottom = _TOP + height
    parts = []
    for tick in ys.ticks:
        y = round(bottom - height * ys.share(tick), 1)
        parts.append(
            Markup(
                '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>'
                '<text x="{}" y="{}" text-anchor="end">{}</text>'
            ).format(_LEFT, round(_LEFT + width, 1), y, y, _LEFT - 6, y + 4, ys.label(tick))
        )
    for tick in xs.ticks:
        x = round(_LEFT + width * xs.share(tick), 1)
        parts.append(
            Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
                x, bottom + 15, xs.label(tick)
            )
        )
    parts.append(
        Markup('<text class="axis-name" x="{}" y="{}" text-anchor="middle">{}</text>').format(
            round(_LEFT + width / 2, 1), bottom + 30, x_name
        )
    )
    return Markup("").join(parts)


def _line(
    each: Series,
    placed: Sequence[tuple[float, float]],
    dots: bool,
    marked: tuple[float, float] | None,
) -> Markup:
    style = _style(each) + (" dashed" if each.dashed else "")
    points = " ".join(f"{x},{y}" for x, y in placed)
    line = Markup('<polyline class="line {}" points="{}"><title>{}</title></polyline>').format(
        style, points, each.name
    )
    shown = list(placed) if dots else []
    circles = Markup("").join(
        Markup('<circle class="dot {}" cx="{}" cy="{}" r="3"/>').format(style, x, y)
        for x, y in shown
    )
    if marked is not None:
        circles += Markup('<circle class="dot {}" cx="{}" cy="{}" r="4"/>').format(style, *marked)
    return line + circles


def _style(each: Series) -> str:
    return "background" if each.style is None else f"s{each.style}"


def _spread(
    ends: Sequence[tuple[float, Series]], top: float, bottom: float
) -> list[tuple[float, float, Series]]:
    """Label heights near the ends of their lines, without overlap."""
    ordered = sorted(ends, key=lambda end: end[0])
    step = min(_LINE, (bottom - top) / max(len(ordered) - 1, 1))
    heights: list[float] = []
    for y, _ in ordered:
        heights.append(max(y, heights[-1] + step if heights else top))
    limit = bottom
    for place in reversed(range(len(heights))):
        heights[place] = min(heights[place], limit)
        limit = heights[place] - step
    return [(at, y, each) for y, (at, each) in zip(heights, ordered, strict=True)]
