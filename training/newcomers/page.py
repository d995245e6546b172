"""One HTML page with the figures and plots of newcomers' users."""

import base64
import html
import io
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.figure import Figure

from training.newcomers.measure import METRICS, PARTS, Measured, Value

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse } td, th { padding: .3rem .8rem; border-bottom: 1px solid #ccc }
td { text-align: right } td:first-child, th:first-child { text-align: left } img { max-width: 100% }
"""


def page(title: str, about: Sequence[str], found: Sequence[Measured]) -> str:
    """The page.

    Args:
        title: of the page.
        about: what was measured, a sentence each.
        found: the ways, in order.
    """
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>",
        f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>",
        *(f"<p>{html.escape(sentence)}</p>" for sentence in about),
    ]
    for metric in METRICS:
        parts.append(f"<h2>{html.escape(metric)}</h2>")
        parts.append(_image(_bars(metric, found), f"{metric} of each way with its interval"))
        if any((metric, part) in way.values for way in found for part in PARTS):
            parts.append(_image(_by_richness(metric, found), f"{metric} by richness of content"))
        parts.append(_table(metric, found))
    return "\n".join(parts) + "\n"


def _table(metric: str, found: Sequence[Measured]) -> str:
    heads = "".join(f"<th>{name}" for name in ("", "all", *PARTS))
    rows = [
        f"<tr><td>{html.escape(way.name)}"
        + "".join(f"<td>{_told(way.values.get((metric, part)))}" for part in ("all", *PARTS))
        for way in found
    ]
    return f"<table><tr>{heads}{''.join(rows)}</table>"


def _told(value: Value | None) -> str:
    if value is None:
        return ""
    return f"{value.mean:.3f} [{value.low:.3f}, {value.high:.3f}]"


def _bars(metric: str, found: Sequence[Measured]) -> Figure:
    figure = Figure((8, 0.5 + 0.4 * len(found)), layout="constrained")
    axes = figure.subplots()
    values = [way.values[metric, "all"] for way in found]
    means = [value.mean for value in values]
    below = [value.mean - value.low for value in values]
    above = [value.high - value.mean for value in values]
    axes.barh([way.name for way in found], means, xerr=[below, above], capsize=3)
    axes.invert_yaxis()
    axes.set_xlabel(metric)
    return figure


def _by_richness(metric: str, found: Sequence[Measured]) -> Figure:
    figure = Figure((8, 4), layout="constrained")
    axes = figure.subplots()
    for way in found:
        shown = [(part, way.values[metric, part]) for part in PARTS if (metric, part) in way.values]
        low = [value.mean - value.low for _, value in shown]
        high = [value.high - value.mean for _, value in shown]
        axes.errorbar(
            [part for part, _ in shown],
            [value.mean for _, value in shown],
            yerr=[low, high],
            capsize=3,
            label=way.name,
        )
    axes.set_ylabel(metric)
    axes.set_xlabel("thirds of the newcomers by how much they show")
    figure.legend(loc="outside right upper")
    return figure


def _image(figure: Figure, words: str) -> str:
    into = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "report"}):
        figure.savefig(into, format="png", dpi=110, metadata={"Software": None})
    data = base64.b64encode(into.getvalue()).decode()
    return f'<img alt="{html.escape(words)}" src="data:image/png;base64,{data}">'
