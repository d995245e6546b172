"""Comparisons: plans, interrupted and failed runs, statistics, and the report."""

import io
import json
import re
import shutil
import xml.etree.ElementTree as ET
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.helpers import write_folder
from training.commands.cli import main
from training.compare.plan import Method, Run, methods_of, plan
from training.compare.results import (
    Cost,
    Finished,
    Standing,
    TaskResult,
)
from training.compare.runs import report_folder
from training.compare.summary import summarise
from training.compare.worst import CASES, worst_cases
from training.config import BaselineConfig, TransferPlusConfig
from training.data import Dataset
from training.errors import EvaluationError, OutputError, UsageError
from training.evaluation.result import Evaluation
from training.evaluation.run import evaluate
from training.evaluation.setting import setting_of
from training.evaluation.statistics import holm
from training.evaluation.subject import Representation


def methods(
    recipes: str = "transfer-plus",
    baselines: str = "tf-idf",
    settings: tuple[str, ...] = (),
    variants: tuple[str, ...] = (),
    split: str = "test",
):
    return methods_of(
        recipes.split(",") if recipes else [],
        baselines.split(",") if baselines else [],
        settings,
        variants,
        split,
    )


def test_settings_of_a_recipe_are_those_of_its_variants_too():
    found = methods(
        settings=("transfer-plus.steps=20",),
        variants=("flat=transfer-plus:content_floor=1,neighbours=10",),
    )
    assert [(m.name, m.kind) for m in found] == [
        ("tf-idf", "baseline"),
        ("transfer-plus", "recipe"),
        ("flat", "variant"),
    ]
    assert found[0].config() == BaselineConfig()
    plain = found[1].config()
    assert isinstance(plain, TransferPlusConfig)
    assert plain.steps == 20
    assert found[2].config() == replace(plain, content_floor=1.0, neighbours=10)
    assert found[2].own_settings == ("content_floor=1", "neighbours=10")


def test_only_what_is_random_is_run_with_every_seed(tmp_path: Path):
    folder = write_folder(tmp_path / "data")
    found = methods(baselines="random,tf-idf", variants=("ids=tf-idf:clicks=private",))
    runs = plan([folder], found, 3, "test", tmp_path / "out")
    assert [run.name for run in runs] == [
        "data random seed 0",
        "data tf-idf",
        "data transfer-plus seed 0",
        "data ids seed 0",
        "data random seed 1",
        "data transfer-plus seed 1",
        "data ids seed 1",
        "data random seed 2",
        "data transfer-plus seed 2",
        "data ids seed 2",
    ]
    assert len({run.folder for run in runs}) == len(runs)


def test_a_run_is_known_by_its_data_configuration_and_code(tmp_path: Path):
    folder = write_folder(tmp_path / "data")

    def identity(**options):
        return plan([folder], methods(baselines="", **options), 1, "test", tmp_path)[0].identity

    before = identity()
    assert before["data_digest"]
    assert before["code_version"]
    assert identity() == before
    assert identity(settings=("transfer-plus.steps=20",)) != before
    with (folder / "splits.csv").open("a") as file:
        file.write("\n")
    assert identity() != before


def test_data_sets_need_names_of_their_own(tmp_path: Path):
    one, other = write_folder(tmp_path / "a" / "data"), write_folder(tmp_path / "b" / "data")
    with pytest.raises(UsageError, match="another data set is also called data"):
        plan([one, other], methods(), 1, "test", tmp_path)


QUALITY = {
    Method("transfer-plus", "recipe", "transfer-plus"): 0.27,
    Method("kd-rkd", "recipe", "kd-rkd"): 0.255,
    Method("masked-views", "recipe", "masked-views"): 0.19,
    Method("noise-50", "variant", "transfer-plus", (), ("teacher_noise=0.5",)): 0.247,
    Method("knn-id", "baseline"): 0.26,
    Method("ridge", "baseline"): 0.215,
    Method("tf-idf", "baseline"): 0.19,
    Method("random", "baseline"): 0.005,
}
BEHAVIOUR = {"knn-id"}
"""Methods that find streamers by their behaviour."""
CONTENT = {method.name for method in QUALITY} - BEHAVIOUR


def finished(quality: dict[Method, float] = QUALITY, seeds: int = 3) -> list[Finished]:
    """Runs without a fit: methods of known quality on 400 queries of known difficulty."""
    difficulty = np.random.default_rng(6).normal(0, 0.1, 400)
    runs = []
    for place, (method, mean) in enumerate(quality.items()):
        for seed in range(seeds if method.kind != "baseline" or method.name == "random" else 1):
            noise = np.random.default_rng([place, seed]).normal(0, 0.05, 400)
            values = np.clip(mean + mean * 3 * (difficulty + noise), 0, 1)
            voted = np.minimum(1, values * (1.2 if method.recipe.startswith("kd") else 1))
            measured = {"cold start": voted}
            if method.name not in BEHAVIOUR:
                measured = {"seen": values, "unseen": values[::-1], **measured}
            queries = np.arange(400) + 100
            per_query = {task: {"query": queries, "NDCG@20": v} for task, v in measured.items()}
            summary = {task: {"NDCG@20": float(v.mean())} for task, v in measured.items()}
            evaluation = Evaluation(
                "lastfm", "0" * 64, method.name, seed, "test", summary, per_query
            )
            run = Run(Path("lastfm"), method, seed, Path(f"runs/{method.name}-{seed}"), {})
            runs.append(Finished(run, evaluation, Cost(2.0)))
    return runs


REFERENCES = ("transfer-plus", "tf-idf")


@pytest.fixture(scope="module")
def runs() -> list[Finished]:
    return finished()


def seeds_of(runs: list[Finished], name: str, task: str) -> np.ndarray:
    chosen = [run for run in runs if run.run.method.name == name]
    return np.stack([r.evaluation.per_query[task]["NDCG@20"] for r in chosen])


def per_query(runs: list[Finished], name: str, task: str = "seen") -> np.ndarray:
    return seeds_of(runs, name, task).mean(0)


def compared(runs: list[Finished], task: str = "seen") -> TaskResult:
    found = summarise(runs, REFERENCES).by(task)
    assert found is not None
    return found


def standing(result: TaskResult, name: str) -> Standing:
    found = result.standing(name)
    assert found is not None
    return found


@pytest.mark.parametrize("task", ["seen", "unseen", "cold start"])
def test_values_are_means_over_seeds_then_queries(runs: list[Finished], task: str):
    result = compared(runs, task)
    assert (result.task, result.metric, result.queries) == (task, "NDCG@20", 400)
    means = [each.value.mean for each in result.standings]
    assert means == sorted(means, reverse=True)
    for each in result.standings:
        values = per_query(runs, each.name, task)
        assert each.value.mean == pytest.approx(values.mean())
        assert each.value.low < each.value.mean < each.value.high
        seeds = seeds_of(runs, each.name, task)  # (seeds, Q)
        variance = (values.var() + seeds.var(0).mean() / len(seeds)) / len(values)
        spread = 1.96 * np.sqrt(variance + seeds.mean(1).var() / len(seeds))
        assert each.value.high - each.value.low == pytest.approx(2 * spread, rel=0.1)


@pytest.mark.parametrize(
    ("task", "best"), [("seen", "ridge"), ("unseen", "ridge"), ("cold start", "knn-id")]
)
def test_ratios_are_to_the_best_baseline_of_the_task(runs: list[Finished], task: str, best: str):
    result = compared(runs, task)
    assert result.best_baseline == best
    base = per_query(runs, best, task).mean()
    for each in result.standings:
        assert each.ratio is not None
        assert each.ratio.mean == pytest.approx(each.value.mean / base)
        assert each.ratio.low <= each.ratio.mean <= each.ratio.high
    itself = standing(result, best).ratio
    assert itself is not None
    assert (itself.low, itself.high) == (1, 1)


@pytest.mark.parametrize(
    ("task", "count"),
    [("seen", len(CONTENT)), ("unseen", len(CONTENT)), ("cold start", len(QUALITY))],
)
def test_comparisons_are_paired_and_corrected_for_all_pairs_of_the_task_once(
    runs: list[Finished], task: str, count: int
):
    plain, corrected = {}, {}
    for each in compared(runs, task).standings:
        for reference, comparison in each.against.items():
            assert each.name != reference
            expected = per_query(runs, each.name, task) - per_query(runs, reference, task)
            assert comparison.difference.mean == pytest.approx(expected.mean())
            plain[frozenset((each.name, reference))] = comparison.p
            corrected[frozenset((each.name, reference))] = comparison.p_holm
    assert len(plain) == 2 * (count - 1) - 1
    np.testing.assert_allclose(list(corrected.values()), holm(list(plain.values())))


def test_what_differs_is_found_and_what_does_not_is_not():
    same = Method("twin", "variant", "transfer-plus", (), ("dim=64",))
    result = compared(finished({**QUALITY, same: 0.27}, seeds=1))
    assert {each.name for each in result.standings[:2]} == {"transfer-plus", "twin"}
    for name, differs in (("masked-views", True), ("random", True), ("twin", False)):
        assert standing(result, name).against["transfer-plus"].is_significant is differs


def test_runs_on_other_queries_are_not_mixed():
    runs = finished(seeds=1)
    runs[1].evaluation.per_query["cold start"]["query"] = np.arange(400)
    with pytest.raises(EvaluationError, match="evaluated on other queries; use --overwrite"):
        summarise(runs, REFERENCES)


@pytest.fixture(scope="module")
def vectors(world: Dataset) -> np.ndarray:
    vectors = np.random.default_rng(0).normal(size=(len(world.ids), 8)).astype(np.float32)
    vectors[world.rows("test")[:3]] = 0
    return vectors


def test_the_worst_that_ask_at_all_are_shown_with_true_ranks(world: Dataset, vectors: np.ndarray):
    representation = Representation.symmetric(vectors)
    evaluation = evaluate(world, representation)
    found = worst_cases(world, representation, evaluation, "test")
    assert found is not None
    task = setting_of(world).seen
    assert task is not None
    values = evaluation.per_query["seen"]["NDCG@20"]
    asks = vectors[task.queries].any(1)
    assert found.nothing_to_ask == (~asks).sum()
    assert found.nothing_to_ask > 0
    assert found.missed == (values[asks] == 0).sum()
    assert (found.gallery, found.queries) == (len(task.gallery), len(task.queries))
    assert [case.score for case in found.cases] == sorted(values[asks])[:CASES]
    for case in found.cases:
        query = world.ids.index(case.query.id)
        scores = {world.ids[row]: float(vectors[query] @ vectors[row]) for row in task.gallery}
        order = sorted(scores, key=lambda name: -scores[name])
        assert [hit.profile.id for hit in case.found] == order[:5]
        relevant = task.relevant[task.queries.tolist().index(query)]
        wanted = [world.ids[task.gallery[place]] for place in relevant]
        assert [hit.profile.id for hit in case.wanted] == wanted[:5]
        assert case.relevant == len(wanted)
        for hit in (*case.found, *case.wanted):
            assert hit.rank == order.index(hit.profile.id) + 1
            assert hit.wanted == (hit.profile.id in wanted)


def test_without_truth_there_are_none(world: Dataset, vectors: np.ndarray):
    representation = Representation.symmetric(vectors)
    evaluation = evaluate(world, representation)
    alone = replace(world, interactions=None, relations=None, id_embeddings=None)
    assert worst_cases(alone, representation, evaluation, "test") is None


HOSTILE = "<script>alert('bio')</script> & \"quotes\" ]]> </style><img src=x onerror=alert(1)>"

SETTINGS = {"steps": 10, "evaluate_every": 5, "table_dim": 16, "dim": 16, "hidden_dim": 16}
SETTINGS |= {"content_dim": 64, "teacher_dim": 8, "teacher_iterations": 2, "batch_size": 64}


def call(data: list[Path], out: Path, *more: str) -> int:
    options = ["--data", *map(str, data), "--out", str(out), "--threads", "1", "--seeds", "1"]
    options += ["--recipes", "transfer-plus", "--baselines", "random,tf-idf"]
    for name, value in SETTINGS.items():
        options += ["--set", f"transfer-plus.{name}={value}"]
    return main(["compare", *options, *more])


@dataclass(frozen=True)
class Compared:
    """What a call left and said."""

    data: list[Path]
    out: Path
    status: int
    printed: str
    progress: str


@pytest.fixture(scope="module")
def report(small_world_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """Three methods on a world, and on one without behaviour, where one can't be trained."""
    folder = tmp_path_factory.mktemp("compare")
    world, alone = (shutil.copytree(small_world_folder, folder / name) for name in ("w", "alone"))
    (alone / "interactions.csv").unlink()
    profiles = map(json.loads, (world / "streamers.jsonl").read_text("utf-8").splitlines())
    lines = [json.dumps(profile | {"bio": HOSTILE}) for profile in profiles]
    (world / "streamers.jsonl").write_text("\n".join(lines), encoding="utf-8")
    data, out, printed, progress = [world, alone], folder / "report", io.StringIO(), io.StringIO()
    with redirect_stdout(printed), redirect_stderr(progress):
        status = call(data, out, "--robustness")
    return Compared(data, out, status, printed.getvalue(), progress.getvalue())


def test_a_failed_run_is_told_everywhere_and_the_others_go_on(report: Compared):
    assert report.status == 1
    reason = "use --recipe masked-views"
    for text in (
        report.progress,
        report.printed,
        (report.out / "results.md").read_text(),
    ):
        assert "alone transfer-plus seed 0" in text
        assert reason in text
    results = json.loads((report.out / "results.json").read_text())
    assert [failure["name"] for failure in results["failures"]] == ["alone transfer-plus seed 0"]
    methods = [{m["name"] for m in data["methods"]} for data in results["data"]]
    assert methods == [{"random", "tf-idf", "transfer-plus"}, {"random", "tf-idf"}]
    tasks = [[task["task"] for task in data["tasks"]] for data in results["data"]]
    assert tasks == [["seen", "unseen", "cold start"], ["labels"]]


def test_the_report_has_what_a_fit_left(report: Compared):
    results = json.loads((report.out / "results.json").read_text())
    world = results["data"][0]
    plus = next(m for m in world["methods"] if m["name"] == "transfer-plus")
    assert plus["cost"]["fit_seconds"] > 0
    assert plus["cost"]["peak_rss_mb"] > 100
    (curve,) = world["details"]["training"]
    assert [step for step, _ in curve["points"]] == [0, 5, 10]
    assert curve["chosen"] in (0, 5, 10)
    assert len(world["details"]["worst"]["cases"]) == 4
    assert world["details"]["retention_of"] == "transfer-plus"
    corruptions = {row["corruption"] for row in world["details"]["retention"]}
    assert corruptions == {"drop", "swap", "boilerplate"}
    assert all(r["retention"][0] == 1 for r in world["details"]["retention"])
    assert world["details"]["worst_of"] == "transfer-plus"
    page = (report.out / "results.md").read_text()
    for title in ("seen gallery", "cold start", "what it took", "worst cases of transfer-plus"):
        assert f"### w · {title}\n" in page
    assert page.count("alert('bio')") >= 4  # a hostile profile is only text
    for tag in ("<script", "<img", "</style>"):
        assert page.lower().count(tag) == page.lower().count("\\" + tag)
    charts = re.findall(r"!\[Charts\]\((.+)\)", page)
    assert len(charts) == 2
    shown = "".join(ET.fromstring((report.out / charts[0]).read_bytes()).itertext())
    assert all(name in shown for name in ("transfer-plus", "tf-idf", "random", "cold start"))


def test_what_is_finished_is_not_made_again(report: Compared, capsys: pytest.CaptureFixture[str]):
    runs = report.out / "runs" / report.data[0].name
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*") if path.is_file()}
    assert call(report.data[:1], report.out, "--robustness") == 0
    printed = capsys.readouterr()
    assert "3 runs of 3 methods on 1 data set: 3 done already, 0 to do" in printed.out
    assert printed.err == ""
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_means_are_over_all_splits(
    small_world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "report"
    words = ["compare", "--data", str(small_world_folder), "--out", str(out), "--seeds", "1"]
    words += ["--recipes", "", "--baselines", "random,tf-idf", "--threads", "1"]
    assert main(words) == 0
    capsys.readouterr()
    assert main([*words, "--splits", "2"]) == 0
    begin = "4 runs of 2 methods on 1 data set in 2 splits: "
    assert capsys.readouterr().out.startswith(f"{begin}2 done already, 2 to do\n")
    (found,) = json.loads((out / "results.json").read_text())["data"]
    assert [(m["splits"], m["seeds"]) for m in found["methods"]] == [([0, 1], [0])] * 2
    runs = out / "runs" / small_world_folder.name
    for task in found["tasks"]:
        for each in task["standings"]:
            measured = [
                Evaluation.load(runs / f"{each['name']}-seed0{name}" / "metrics.json")
                for name in ("", "-split1")
            ]
            values = [one.summary[task["task"]]["NDCG@20"] for one in measured]
            assert each["value"]["mean"] == pytest.approx(sum(values) / 2)
    assert main([*words, "--splits", "2", "--overwrite", "tf-idf"]) == 0
    assert f"{begin}2 done already, 2 to do" in capsys.readouterr().out


def test_a_folder_in_use_or_of_others_is_left_alone(tmp_path: Path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.tex").touch()
    with report_folder(tmp_path / "a"):
        for folder, message in (
            (tmp_path / "a", "in use by another comparison"),
            (tmp_path / "b", r"holds other files \(thesis.tex"),
            (tmp_path / "b" / "thesis.tex" / "c", "can't be used: Not a directory"),
        ):
            with pytest.raises(OutputError, match=message), report_folder(folder):
                pass


@pytest.mark.parametrize(
    ("more", "status", "message"),
    [
        (["--recipes", "magic"], 2, "--recipes magic: unknown"),
        (["--baselines", "magic"], 2, "--baselines magic: unknown"),
        (["--variant", "x"], 2, "write it as NAME=RECIPE_OR_BASELINE:key=value"),
        (["--variant", "../x=transfer-plus:steps=1"], 2, "a name has letters"),
        (["--variant", "x=magic:steps=1"], 2, "no recipe or baseline is called 'magic'"),
        (["--variant", "x=transfer-plus:step=1"], 2, "x: --set step: unknown; the valid names"),
        (["--variant", "tf-idf=transfer-plus:steps=1"], 2, "tf-idf is named twice"),
        (["--set", "steps=20"], 2, "--set steps=20: write it as RECIPE.key=value"),
        (["--set", "masked-views.steps=20"], 2, "masked-views is not compared"),
        (["--reference", "ridge"], 2, "--reference ridge: is not compared"),
        (["--overwrite", "ridge"], 2, "--overwrite ridge: is not compared"),
        (["--jobs", "0"], 2, "--jobs and --threads need at least 1"),
        (["--splits", "0"], 2, "--splits 0: needs at least 1"),
        (["--data", "/nowhere"], 1, "--data /nowhere is not a folder"),
        (["--out", "/proc/nothing"], 1, "--out /proc/nothing can't be used"),
    ],
)
def test_wrong_calls_are_refused_before_anything_runs(
    small_world_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    status: int,
    message: str,
):
    assert call([small_world_folder], tmp_path / "report", *more) == status
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "report" / "runs").exists()


def test_bad_data_is_refused_before_anything_runs(
    small_world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    bad = tmp_path / "bad"
    shutil.copytree(small_world_folder, bad)
    with (bad / "splits.csv").open("a") as file:
        file.write("nobody,train\n")
    assert call([small_world_folder, bad], tmp_path / "report") == 1
    assert "nobody" in capsys.readouterr().err
    assert not (tmp_path / "report" / "runs").exists()
