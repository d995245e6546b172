"""Charts: scales of round numbers, everything inside, names that don't meet."""

import itertools
import xml.etree.ElementTree as ET

import pytest

from training.compare.report.charts import Scale, Series, axis, key, line_chart, scale, whisker


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.0, 0.27], (0, 0.1, 0.2, 0.3)),
        ([0.0, 500.0], (0, 200, 400, 600)),
        ([0.21, 0.29], (0.2, 0.22, 0.24, 0.26, 0.28, 0.3)),
        ([-3.2, -1.1], (-4, -3, -2, -1)),
    ],
)
def test_ticks_are_round_and_hold_the_values(values: list[float], ticks: tuple[float, ...]):
    assert scale(values).ticks == pytest.approx(ticks)


def test_a_value_may_lie_a_little_beyond_the_last_tick():
    on = scale([0.0, 1.003])
    assert on.ticks == (0, 0.5, 1)
    assert on.share(1.0) < on.share(1.003) == 1


def test_a_tight_scale_ends_at_the_values():
    on = scale([0.0, 500.0], tight=True)
    assert (on.share(0), on.share(250), on.share(500)) == (0, 0.5, 1)
    assert on.ticks == (0, 200, 400)


@pytest.mark.parametrize("value", [0.0, 0.3, -2.0])
def test_one_value_has_a_scale_too(value: float):
    on = scale([value])
    assert on.low <= value <= on.high
    assert on.low < on.high
    assert scale([value], tight=True).low < scale([value], tight=True).high


def test_labels_have_as_many_decimals_as_the_ticks_need():
    assert [scale([0, 0.27]).label(t) for t in (0.0, 0.1)] == ["0.0", "0.1"]
    assert scale([0, 4000]).label(2000.0) == "2,000"
    assert scale([-1, 1]).label(-0.5) == "−0.5"
    assert Scale(0, 50, (0, 12.5, 50)).label(12.5) == "12.5"


def test_a_whisker_is_placed_in_per_cent_and_says_what_it_shows():
    svg = ET.fromstring(whisker(scale([0, 0.4]), "baseline", 0.2, 0.1, 0.3, 0.25, "<ridge> 0.2"))
    assert svg.findtext("title") == "<ridge> 0.2"
    line = svg.find("line[@class='whisker']")
    assert line is not None
    assert (line.get("x1"), line.get("x2")) == ("25.0%", "75.0%")
    compared = svg.find("line[@class='compared']")
    assert compared is not None
    assert compared.get("x1") == "62.5%"
    mark = svg.find("svg")
    assert mark is not None
    assert mark.get("x") == "50.0%"
    ET.fromstring(axis(scale([0, 0.4])))
    ET.fromstring(key("variant"))


def test_lines_stay_inside_and_names_apart():
    series = [
        Series(f"method {i}", ((0, 0.2), (100, 0.2 + i / 1000)), i if i < 3 else None, (100, 0.2))
        for i in range(12)
    ]
    svg = ET.fromstring(line_chart(series, "step", "NDCG@20", dots=True))
    width, height = (float(x) for x in svg.get("viewBox", "").split()[2:])
    for polyline in svg.findall("polyline"):
        for point in polyline.get("points", "").split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= width
            assert 0 <= y <= height
    names = [t for t in svg.findall("text") if (t.get("class") or "").startswith("name")]
    places = sorted(float(name.get("y", "")) for name in names)
    assert len(places) == 12
    assert min(b - a for a, b in itertools.pairwise(places)) > 12
    assert places[0] > 0
    assert places[-1] < height


def test_few_points_are_told_on_the_axis():
    series = [Series("a", ((0, 1), (25, 0.9), (100, 0.5)))]
    svg = ET.fromstring(line_chart(series, "%", "retention", zero=True, dots=True))
    axis_labels = svg.findall("text[@text-anchor='middle']")
    assert [label.text for label in axis_labels] == ["0", "25", "100", "%"]


def test_a_name_that_stands_elsewhere_is_led_to_from_the_end_of_its_line():
    beside = [Series("a", ((0, 0), (9, 1))), Series("b", ((0, 0), (9, 0.5)))]
    assert not ET.fromstring(line_chart(beside, "x", "y")).findall(
        "line[@class='leader background']"
    )
    for other in (((0, 0), (9, 0.99)), ((0, 0), (5, 0.5))):  # too near; ends early
        svg = ET.fromstring(line_chart([beside[0], Series("b", other, 1)], "x", "y"))
        [leader] = svg.findall("line[@class='leader s1']")
        [line] = svg.findall("polyline[@class='line s1']")
        [name] = svg.findall("text[@class='name s1']")
        end = [float(x) for x in line.get("points", "").split()[-1].split(",")]
        assert [float(leader.get(at, "")) for at in ("x1", "y1")] == [end[0] + 4, end[1]]
        assert 0 < float(name.get("x", "")) - float(leader.get("x2", "")) < 5
        assert float(name.get("y", "")) - float(leader.get("y2", "")) == pytest.approx(4, abs=0.2)


def test_names_are_escaped():
    svg = ET.fromstring(line_chart([Series("<script>&", ((0, 0), (1, 1)))], '"x"', "<y>"))
    assert svg.findtext("text[@class='name background']") == "<script>&"
    assert svg.get("aria-label") == '<y> by "x": <script>&'
