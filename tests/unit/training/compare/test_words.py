"""Numbers line up, and findings say what was found and no more."""

import re

import pytest

from tests.unit.training.compare.synthetic import BEHAVIOUR, CONTENT, QUALITY, finished, results
from training.compare import words
from training.compare.plan import Method
from training.compare.report import markdown
from training.compare.results import Comparison, Estimate, Failure
from training.compare.summary import summarise

REFERENCES = ("transfer-plus", "tf-idf")


def finding(quality: dict[Method, float] = QUALITY, seeds: int = 3, task: str = "seen") -> str:
    found = summarise(finished("lastfm", quality, seeds=seeds), REFERENCES).by(task)
    assert found is not None
    return words.finding(found)


def test_numbers():
    assert words.value(0.26834) == "0.2683"
    assert words.value(-0.00001) == "0.0000"
    assert words.value(-3.2, 1) == "−3.2"
    assert words.value(None) == "–"
    assert words.signed(0.01) == "+0.0100"
    assert words.signed(-0.01) == "−0.0100"
    assert words.span(Estimate(2, 1, 3), 1) == "1.0 to 3.0"
    assert words.times(Estimate(1.254, 1, 2)) == "1.25 ×"
    assert words.times(None) == "–"
    assert words.megabytes(1234.4) == "1,234 MB"


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0002, "< .001"), (0.013, ".013"), (0.0499, ".0499"), (0.05, ".050"), (1.0, "1.000")],
)
def test_p_values_never_round_to_the_other_side(p: float, text: str):
    assert words.p_value(p) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.84, "0.8 s"),
        (9.97, "10 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (3840, "1 h 4 min"),
    ],
)
def test_durations(seconds: float | None, text: str):
    assert words.seconds(seconds) == text


def test_names_in_a_sentence():
    assert words.listed(["a"]) == "a"
    assert words.listed(["a", "b", "c"]) == "a, b and c"
    assert words.listed(["a", "b", "c", "d", "e", "f"]) == "a, b, c, d and 2 more"


def test_a_verdict_is_given_after_the_correction_only():
    difference = Estimate(0.1, 0.01, 0.2)
    assert words.verdict(Comparison(difference, 0.01, 0.2)) == "="
    assert words.verdict(Comparison(difference, 0.01, 0.04)) == "▲"
    assert words.verdict(Comparison(Estimate(-0.1, -0.2, 0), 0.01, 0.04)) == "▼"


def test_the_leader_is_told_with_its_ratio():
    text = finding()
    assert text.startswith("transfer-plus leads with NDCG@20 0.27")
    assert "times the best baseline (ridge, 0.21" in text
    assert text.endswith("transfer-plus is significantly above all 9 others.")


def test_a_cold_start_has_a_finding_of_its_own():
    text = finding(task="cold start")
    assert text.startswith("transfer-plus leads with NDCG@20 0.32")
    assert "times the best baseline (knn-id, 0.25" in text
    assert text.endswith("transfer-plus is significantly above all 10 others.")


def test_it_is_told_which_methods_a_task_does_not_apply_to():
    data = summarise(finished("lastfm", seeds=1), REFERENCES)
    seen, unseen, cold = (words.about(data, task) for task in data.tasks)
    for content in (seen, unseen):
        assert content.endswith(". It does not apply to knn-id.")
    assert "knn-id" not in cold


def test_whoever_is_not_the_leader_is_told_so():
    better = Method("better", "recipe", "kd-rkd")
    twin = Method("twin", "variant", "transfer-plus", (), ("dim=64",))
    text = finding({**QUALITY, better: 0.4, twin: 0.27}, seeds=1)
    assert "transfer-plus is number" in text
    assert "better leads with 0.4" in text
    assert "significantly more" in text
    assert "and below better" in text
    assert "does not differ significantly from twin" in text


def test_baselines_alone():
    text = finding({m: q for m, q in QUALITY.items() if m.kind == "baseline"})
    assert text.startswith("Only baselines were compared; ridge leads with")


def test_the_method_in_question_may_be_missing():
    text = finding({m: q for m, q in QUALITY.items() if m.name != "transfer-plus"})
    assert text.startswith("The method in question is missing")


@pytest.mark.slow
def test_markdown_has_every_method_in_columns_that_line_up():
    text = markdown.render(results(failures=(Failure("lastfm | x", "`died`\n<b>"),)), {})
    assert "- lastfm \\| x: \\`died\\` \\<b\\>" in text
    for name in ("lastfm", "movielens", "twitch-engb"):
        assert f"## {name}\n" in text
        for task in ("seen gallery", "unseen gallery", "cold start", "what it took"):
            assert f"### {name} · {task}\n" in text
    tables = [block for block in text.split("\n\n") if block.startswith("| ")]
    everyone = CONTENT | BEHAVIOUR
    trained = {method.name for method in QUALITY if method.recipe}
    tasks = [CONTENT, CONTENT, everyone]
    expected = [*tasks, *3 * [everyone, *tasks, trained, everyone, *tasks, everyone]]
    for table, names in zip(tables, expected, strict=True):
        lines = table.strip().split("\n")
        assert len({len(line) for line in lines}) == 1
        assert len({line.count(" | ") for line in lines}) == 1
        assert {line.split(" | ")[0].strip("| ").split(" (")[0] for line in lines[2:]} == names
    assert "**0.27" in tables[0]
    assert "**0.32" in tables[2]
    main = tables[3].split("\n")
    assert [head.strip() for head in main[0].strip("| ").split(" | ")] == [
        "method",
        *(f"{task} NDCG@20" for task in ("seen gallery", "unseen gallery", "cold start")),
    ]
    rows = {line.strip("| ").split(" | ")[0].strip(): line for line in main[2:]}
    assert len(re.findall(r"0\.\d{3} \\\[0\.\d{3}, 0\.\d{3}\\\]", rows["tf-idf"])) == 3
    assert rows["knn-id"].count("–") == 2


def test_markdown_of_one_data_set_has_no_overview():
    text = markdown.render(results(("lastfm",)), {})
    assert "## Cold start" not in text
    assert len([block for block in text.split("\n\n") if block.startswith("| ")]) == 10
