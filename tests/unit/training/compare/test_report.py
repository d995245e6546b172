"""The report: complete, and safe whatever a profile says."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from tests.unit.training.compare.synthetic import (
    BEHAVIOUR,
    CONTENT,
    DATA,
    HOSTILE,
    QUALITY,
    details,
    finished,
    results,
)
from training.compare.collect import as_json
from training.compare.details import Details
from training.compare.report import charts, markdown
from training.compare.results import Failure
from training.compare.summary import summarise

FAILURE = Failure("lastfm ptum seed 1", "killed <b>by</b> signal 9")


@pytest.fixture(scope="module")
def page() -> str:
    about = {name: details(name) for name in DATA}
    return markdown.render(results(failures=(FAILURE,)), about, {"lastfm": "charts/1.svg"})


def texts_of(svg: bytes) -> set[str]:
    return {"".join(e.itertext()) for e in ET.fromstring(svg).iter() if e.tag.endswith("}text")}


@pytest.mark.slow
def test_every_part_of_every_data_set_is_there(page: str):
    for name in DATA:
        for title in (
            "seen gallery",
            "unseen gallery",
            "cold start",
            "what it took",
            "geometry of the vectors",
            "robustness of transfer-plus",
            "worst cases of transfer-plus",
            "all that was measured of unseen",
        ):
            assert f"### {name} · {title}\n" in page
    assert page.count("![Charts](charts/1.svg)") == 1
    assert "▲ and ▼ mark differences" in page


def test_a_hostile_profile_is_only_text(page: str):
    assert page.count("alert('bio')") == 4 * len(DATA)
    for tag in ("<script", "<img", "</style>"):
        assert page.lower().count(tag) == page.lower().count("\\" + tag)


def test_a_failure_is_told_at_the_top(page: str):
    assert "- lastfm ptum seed 1: killed \\<b\\>by\\</b\\> signal 9" in page.split("## ")[0]


def test_splits_and_seeds_are_told():
    one = markdown.render(results(("lastfm",)), {})
    assert "Means over 1 split and 3 seeds (" in one
    assert "by paired bootstrap over queries and seeds;" in one
    assert "Bengio" not in one
    assert "SE over splits" not in one
    runs = finished("lastfm")
    again = [replace(each, run=replace(each.run, split_number=1)) for each in runs]
    data = summarise([*runs, *again], ("transfer-plus",))
    two = markdown.render(replace(results(()), data=(data,)), {})
    assert "Means over 2 splits and 3 seeds (" in two
    assert "by paired bootstrap over splits, queries and seeds;" in two
    assert two.count("SE over splits |") == 3
    assert "done on 2 splits of each data set" in two
    assert "too narrow (Bengio & Grandvalet 2004)" in two


def test_what_was_chosen_on_val_is_called_optimistic(page: str):
    assert "optimistic" not in page
    assert "optimistic" in markdown.render(replace(results(("lastfm",)), split="val"), {})


def test_what_is_not_known_is_left_out():
    page = markdown.render(results(("lastfm",)), {})
    assert "worst cases" not in page
    assert "![" not in page
    assert "None" not in page


@pytest.mark.slow
def test_charts_show_every_method_and_curve():
    data = results(("lastfm",)).data[0]
    shown = texts_of(charts.draw(data, details("lastfm")))
    assert shown >= CONTENT | BEHAVIOUR
    assert shown >= {"cold start, with 95 % intervals", "Robustness of transfer-plus: swap"}
    assert shown >= {
        "bio",
        "tags",
        "titles",
        "all streamers",
        "Answers of transfer-plus above a score",
    }
    assert sum(text.startswith("Training, first seed") for text in shown) == 1


def test_charts_do_without_baselines_or_details_and_show_names_as_they_are():
    recipes = {m: q for m, q in QUALITY.items() if m.recipe}
    data = summarise(finished("lastfm", recipes), ("transfer-plus",))
    first = data.tasks[0]
    odd = replace(first.standings[0], name="$x_1$ <b>")
    renamed = replace(data, tasks=(replace(first, standings=(odd, *first.standings[1:])),))
    svg = charts.draw(renamed, Details())
    assert "$x_1$ <b>" in texts_of(svg)
    assert charts.draw(renamed, Details()) == svg


@pytest.mark.slow
def test_results_as_json_hold_all_numbers():
    found = results()
    content = json.loads(as_json(found, {name: details(name) for name in DATA}))
    assert [data["name"] for data in content["data"]] == list(DATA)
    first = content["data"][0]
    assert [task["task"] for task in first["tasks"]] == ["seen", "unseen", "cold start"]
    for task in first["tasks"]:
        standing = task["standings"][0]
        assert standing["value"].keys() == {"mean", "low", "high"}
        assert standing["against"]["tf-idf"].keys() == {"difference", "p", "p_holm"}
    assert first["methods"][0]["metrics"].keys() == {"seen", "unseen", "cold start", "vectors"}
    assert content["data"][0]["details"]["worst"]["cases"][0]["query"]["bio"] == HOSTILE
    empty = json.loads(as_json(found, {name: Details() for name in DATA}))
    assert empty["data"][0]["details"]["worst"] is None
