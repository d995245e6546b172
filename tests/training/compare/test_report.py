"""The report: one file, complete, well-formed, and safe whatever a profile says."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from tests.training.compare.synthetic import (
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
from training.compare.report import html
from training.compare.results import Failure
from training.compare.summary import summarise

FAILURE = Failure("lastfm ptum seed 1", "killed <b>by</b> signal 9")


@pytest.fixture(scope="module")
def page() -> str:
    return html.render(results(failures=(FAILURE,)), {name: details(name) for name in DATA})


@pytest.fixture(scope="module")
def root(page: str) -> ET.Element:
    """Well-formed even as XML, which forgives nothing."""
    return ET.fromstring(page.removeprefix("<!DOCTYPE html>"))


def text_of(element: ET.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def test_it_needs_nothing_from_elsewhere_and_runs_nothing(page: str, root: ET.Element):
    tags = {element.tag for element in root.iter()}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    for element in root.iter():
        for name, value in element.attrib.items():
            assert not name.lower().startswith("on")
            if name in ("href", "src", "xlink:href"):
                assert value.startswith("#")
    assert "://" not in page
    assert "url(" not in page
    assert "@import" not in page
    assert "default-src 'none'" in page


def test_every_method_of_every_data_set_is_there(root: ET.Element):
    sections = root.findall(".//section")
    for name, section in zip(DATA, sections[1:], strict=False):
        heading = section.find("h2")
        assert heading is not None
        assert heading.text == name
        titles = [text_of(title) for title in section.findall("h3")]
        assert titles[:3] == [
            f"{name} · {task}" for task in ("seen gallery", "unseen gallery", "cold start")
        ]
        charts = section.findall(".//table[@class='forest sticky']")
        for table, methods in zip(charts, (CONTENT, CONTENT, CONTENT | BEHAVIOUR), strict=True):
            rows = table.findall("tbody/tr")
            assert {(row.findtext("th") or "").strip() for row in rows} == methods
            assert len(table.findall(".//svg[@role='img']")) == len(rows)
        axes = {ET.tostring(axis) for axis in section.findall(".//svg[@class='axis']")}
        assert len(axes) == 1  # the charts can be compared
        figures = {text_of(caption) for caption in section.findall(".//figcaption/b")}
        assert figures == {
            "Overview",
            "Training: NDCG@20 on validation",
            "Training: MRR on validation",
            "Label noise of the teacher",
            "Robustness to missing modalities",
            "Robustness to swapped modalities",
            "Robustness to boilerplate",
            "Score to precision",
            "Robustness of transfer-plus",
            "What it took",
            "Geometry of the vectors",
        }


def test_there_is_a_matrix_for_each_task(root: ET.Element):
    tables = root.findall(".//table[@class='sticky matrix']")
    for table, methods in zip(tables, (CONTENT, CONTENT, CONTENT | BEHAVIOUR), strict=True):
        assert [th.text for th in table.findall("thead/tr/th")] == ["method", *DATA, "mean"]
        rows = {row.findtext("th") or "": row.findall("td") for row in table.findall("tbody/tr")}
        assert set(rows) == methods
        assert {cell.get("class") for cell in rows["transfer-plus"][:-1]} == {"best"}


def test_a_hostile_profile_is_only_text(page: str, root: ET.Element):
    shown = [text_of(case) for case in root.findall(".//article")]
    assert len(shown) == 4 * len(DATA)
    assert all(HOSTILE in text for text in shown)
    assert "<script" not in page.lower()
    assert "<img" not in page.lower()
    assert page.lower().count("</style>") == 1


def test_a_failure_is_told_at_the_top(page: str, root: ET.Element):
    header = root.find(".//header")
    assert header is not None
    assert "lastfm ptum seed 1: killed <b>by</b> signal 9" in text_of(header)
    assert "killed <b>" not in page


def test_links_lead_somewhere(root: ET.Element):
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    for link in root.findall(".//a"):
        assert link.get("href", "").removeprefix("#") in ids


def test_light_and_dark_know_the_same_colours(page: str):
    blocks = re.findall(r":root \{(.*?)\}", page, re.DOTALL)
    light, dark = ({*re.findall(r"(--\w+):", block)} for block in blocks)
    assert light == dark
    assert set(re.findall(r"var\((--\w+)\)", page)) <= light


def test_what_was_chosen_on_val_is_called_optimistic(page: str):
    assert "optimistic" not in page
    assert "optimistic" in html.render(replace(results(("lastfm",)), split="val"), {})


def test_what_is_not_known_is_left_out():
    page = html.render(results(("lastfm",)), {})
    root = ET.fromstring(page.removeprefix("<!DOCTYPE html>"))
    assert not root.findall(".//article")
    assert root.find(".//nav") is None
    assert "At a glance" not in page
    assert "None" not in text_of(root)


def test_without_baselines_nothing_is_compared_with_the_best():
    found = results(("lastfm",))
    recipes = {m: q for m, q in QUALITY.items() if m.recipe}
    alone = replace(found, data=(summarise(finished("lastfm", recipes), ("transfer-plus",)),))
    for of, there in ((found, True), (alone, False)):
        root = ET.fromstring(html.render(of, {}).removeprefix("<!DOCTYPE html>"))
        for table in root.findall(".//table[@class='forest sticky']"):
            heads = table.findall("thead/tr/th")
            assert ("of bestbaseline" in [text_of(head) for head in heads]) is there
            width = sum(int(head.get("colspan", "1")) for head in heads)
            assert {len(list(row)) for row in table.findall("tbody/tr")} == {width}


def test_a_recipe_has_one_colour_in_all_training_curves(root: ET.Element):
    section = root.findall(".//section")[1]
    colours: dict[str, set[str]] = {}
    for figure in section.findall(".//figure"):
        if text_of(figure).startswith("Training: "):
            for line in figure.findall(".//polyline"):
                colours.setdefault(line.findtext("title") or "", set()).add(line.get("class", ""))
    assert colours["transfer-plus"] == {"line s0"}
    assert {name for name, of in colours.items() if of == {"line background"}} == {
        "no-weights",
        "noise-25",
        "noise-50",
    }
    recipes = {"transfer-plus", "kd-rkd", "transfer", "masked-views"}
    assert len(set.union(*(colours[name] for name in recipes))) == len(recipes)


def test_a_hostile_data_set_name_is_only_text():
    found = results(("lastfm",))
    renamed = replace(found, data=(replace(found.data[0], name=HOSTILE),))
    root = ET.fromstring(html.render(renamed, {}).removeprefix("<!DOCTYPE html>"))
    assert root.findtext(".//section/h2") == HOSTILE


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
