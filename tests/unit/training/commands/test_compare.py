"""The command as a person calls it: resumed, interrupted, with failures, and called wrongly."""

import json
import os
import re
import shutil
import signal
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.unit.training.data.folders import write_folder
from training.commands.cli import main
from training.compare.measure import Measurer
from training.compare.plan import methods_of, plan
from training.compare.progress import RunProgress
from training.compare.results import Cost
from training.compare.runs import _cost, cost_of, execute, interrupt_later, report_folder
from training.data import load_dataset
from training.errors import DataError, OutputError
from training.evaluation.result import Evaluation
from training.models.checkpoint import Checkpoint
from training.progress import Progress

pytestmark = pytest.mark.slow

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
def compared(small_world_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """Three methods on a world, and on one without behaviour, where one can't be trained."""
    folder = tmp_path_factory.mktemp("compare")
    alone = folder / "alone"
    shutil.copytree(small_world_folder, alone)
    (alone / "interactions.csv").unlink()
    data, out = [small_world_folder, alone], folder / "report"
    with pytest.MonkeyPatch.context() as patch:
        said = [(folder / name).open("w+", encoding="utf-8") for name in ("printed", "progress")]
        patch.setattr("sys.stdout", said[0])
        patch.setattr("sys.stderr", said[1])
        status = call(data, out, "--robustness")
        for stream in said:
            stream.close()
    texts = [(folder / name).read_text(encoding="utf-8") for name in ("printed", "progress")]
    return Compared(data, out, status, *texts)


def test_every_run_is_told_and_counted(compared: Compared):
    assert compared.printed.startswith(
        "6 runs of 3 methods on 2 data sets: 0 done already, 6 to do\n"
    )
    lines = compared.progress.splitlines()
    assert len(lines) == 6
    world = compared.data[0].name
    for line, start in zip(
        lines,
        (
            f"[1/6] {world} random seed 0: seen 0.",
            f"[2/6] {world} tf-idf: seen 0.",
            f"[3/6] {world} transfer-plus seed 0: seen 0.",
            "[4/6] alone random seed 0: labels 0.",
            "[5/6] alone tf-idf: labels 0.",
            "[6/6] alone transfer-plus seed 0: FAILED: ",
        ),
        strict=True,
    ):
        assert line.startswith(start)
    assert lines[3].endswith(" left")
    assert "left" not in lines[5]
    assert all("cold start 0." in line for line in lines[:3])
    assert f"{world}, seen gallery: transfer-plus " in compared.printed
    assert f"{world}, cold start: transfer-plus " in compared.printed
    assert "alone, labels: " in compared.printed
    assert "results.md, its charts, and results.json" in compared.printed


def test_a_failed_run_is_told_everywhere_and_the_others_go_on(compared: Compared):
    assert compared.status == 1
    reason = "use --recipe masked-views"
    for text in (
        compared.progress,
        compared.printed,
        (compared.out / "results.md").read_text(),
    ):
        assert "alone transfer-plus seed 0" in text
        assert reason in text
    results = json.loads((compared.out / "results.json").read_text())
    assert [failure["name"] for failure in results["failures"]] == ["alone transfer-plus seed 0"]
    methods = [{m["name"] for m in data["methods"]} for data in results["data"]]
    assert methods == [{"random", "tf-idf", "transfer-plus"}, {"random", "tf-idf"}]
    tasks = [[task["task"] for task in data["tasks"]] for data in results["data"]]
    assert tasks == [["seen", "unseen", "cold start"], ["labels"]]


def test_the_report_has_what_a_fit_left(compared: Compared):
    results = json.loads((compared.out / "results.json").read_text())
    world = results["data"][0]
    plus = next(m for m in world["methods"] if m["name"] == "transfer-plus")
    assert plus["cost"]["fit_seconds"] > 0
    assert plus["cost"]["peak_rss_mb"] > 100
    (curve,) = world["details"]["training"]
    assert [step for step, _ in curve["points"]] == [0, 5, 10]
    assert curve["chosen"] in (0, 5, 10)
    assert len(world["details"]["worst"]["cases"]) == 4
    assert world["details"]["retention_of"] == "transfer-plus"
    assert {r["corruption"] for r in world["details"]["retention"]} == {
        "drop",
        "swap",
        "boilerplate",
    }
    assert all(r["retention"][0] == 1 for r in world["details"]["retention"])
    assert world["details"]["worst_of"] == "transfer-plus"
    report = (compared.out / "results.md").read_text()
    assert "worst cases of transfer-plus" in report
    for chart in re.findall(r"!\[Charts\]\((.+)\)", report):
        assert (compared.out / chart).read_bytes().startswith(b"<?xml")
    assert report.count("![Charts]") == 2


def test_what_is_finished_is_not_made_again(compared: Compared, capsys: pytest.CaptureFixture[str]):
    runs = compared.out / "runs" / compared.data[0].name
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*") if path.is_file()}
    assert call(compared.data[:1], compared.out, "--robustness") == 0
    printed = capsys.readouterr()
    assert "3 runs of 3 methods on 1 data set: 3 done already, 0 to do" in printed.out
    assert printed.err == ""
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_run_of_another_identity_is_made_anew_and_an_interrupted_one_goes_on(
    small_world_folder: Path, tmp_path: Path
):
    methods = methods_of([], ["tf-idf"], [], [], "test")
    (run,) = plan([small_world_folder], methods, 1, "test", tmp_path)
    measurer = Measurer("test", 1)

    def make(one):
        progress = RunProgress([one], [], 1, Progress("runs", 1))
        assert execute([one], measurer, progress, jobs=1, threads=1, lock=0) == []

    make(run)
    assert cost_of(run) is not None
    (run.folder / "left").touch()
    status = json.loads((run.folder / "run.json").read_text())
    (run.folder / "run.json").write_text(json.dumps({"identity": status["identity"]}))
    assert cost_of(run) is None  # as kill -9 leaves it
    make(run)
    assert (run.folder / "left").exists()
    other = replace(run, identity={**run.identity, "code_version": "another"})
    assert cost_of(other) is None
    make(other)
    assert not (run.folder / "left").exists()
    (run.folder / "run.json").write_text("damaged")
    assert cost_of(other) is None


def test_a_run_of_data_that_was_replaced_meanwhile_is_refused(compared: Compared, tmp_path: Path):
    data, out = compared.data[0], tmp_path / "out"
    settings = [f"transfer-plus.{name}={value}" for name, value in SETTINGS.items()]
    methods = methods_of(["transfer-plus"], ["tf-idf"], settings, [], "test")
    shutil.copytree(compared.out / "runs", out / "runs")
    baseline, fitted = plan([data], methods, 1, "test", out)
    config = fitted.folder / "checkpoint" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"data_digest": "another"}))
    planned = replace(baseline, identity=baseline.identity | {"data_digest": "another"})
    for run in (planned, fitted):
        with pytest.raises(DataError, match="was changed during the comparison; start again"):
            Measurer("test", 1)(run)


def test_an_interrupted_run_costs_what_all_its_sessions_took(
    small_world_folder: Path, tmp_path: Path
):
    methods = methods_of(["mlm"], [], [], [], "test")
    (run,) = plan([small_world_folder], methods, 1, "test", tmp_path)
    (run.folder / "checkpoint").mkdir(parents=True)
    took = json.dumps({"fit_seconds": 300.5, "peak_rss_mb": 90.0})
    (run.folder / "checkpoint" / "metrics.json").write_text(took)
    assert _cost(run, 12.0) == Cost(300.5, 300.5, 90.0)
    assert _cost(run, 312.0) == Cost(312.0, 300.5, 90.0)


def test_further_splits_are_fitted_measured_and_kept(
    compared: Compared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    data, out = compared.data[:1], tmp_path / "report"
    shutil.copytree(compared.out, out)  # its runs are those of the data set's own split
    begin = "6 runs of 3 methods on 1 data set in 2 splits: "
    assert call(data, out, "--splits", "2") == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{begin}3 done already, 3 to do\n")
    assert "transfer-plus split 1 seed 0: seen 0." in printed.err

    runs = out / "runs" / data[0].name
    dealt = load_dataset(data[0]).dealt(1)
    test = {dealt.ids[row] for row in dealt.rows("test")}
    fits = [runs / f"transfer-plus-seed0{name}" / "checkpoint" for name in ("", "-split1")]
    learned = [set(Checkpoint.load(fit).learned_from) for fit in fits]
    assert learned[0] & test
    assert learned[1] == set(dealt.ids) - test
    assert [Checkpoint.load(fit).config["split_number"] for fit in fits] == [0, 1]

    results = json.loads((out / "results.json").read_text())
    assert "--splits 2" in results["command"]
    (found,) = results["data"]
    assert [(m["splits"], m["seeds"]) for m in found["methods"]] == [([0, 1], [0])] * 3
    for task in found["tasks"]:
        for each in task["standings"]:
            measured = [
                Evaluation.load(runs / f"{each['name']}-seed0{name}" / "metrics.json")
                for name in ("", "-split1")
            ]
            values = [one.summary[task["task"]]["NDCG@20"] for one in measured]
            assert each["value"]["mean"] == pytest.approx(sum(values) / 2)
    assert "Means over 2 splits and 1 seed (" in (out / "results.md").read_text()

    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*") if path.is_file()}
    assert call(data, out, "--splits", "2") == 0
    assert f"{begin}6 done already, 0 to do" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert call(data, out, "--splits", "2", "--overwrite", "tf-idf") == 0
    assert f"{begin}4 done already, 2 to do" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_fit_under_way_and_keeps_the_others(
    small_world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], number: int
):
    out = tmp_path / "report"
    log = out / "runs" / small_world_folder.name / "transfer-plus-seed0" / "log.txt"

    def interrupt() -> None:
        for _ in range(10_000):
            if log.exists():
                os.kill(os.getpid(), number)
                return
            time.sleep(0.02)

    thread = threading.Thread(target=interrupt)
    thread.start()
    assert call([small_world_folder], out) == 130
    thread.join()
    assert "stopped" in capsys.readouterr().err
    with report_folder(out):
        pass  # no process holds the lock any more
    arguments = ["compare", "--data", str(small_world_folder), "--out", str(out), "--seeds", "1"]
    assert main([*arguments, "--baselines", "random,tf-idf"]) == 0
    assert "2 done already, 0 to do" in capsys.readouterr().out
    assert main([*arguments, "--baselines", "random,tf-idf", "--overwrite", "random"]) == 0
    assert "1 done already, 1 to do" in capsys.readouterr().out


def test_ctrl_c_waits_until_a_fit_that_starts_is_known():
    known = []

    def start() -> None:
        with interrupt_later():
            signal.raise_signal(signal.SIGINT)
            known.append("fit")

    with pytest.raises(KeyboardInterrupt):
        start()
    assert known == ["fit"]


def test_runs_of_other_sources_are_told(
    small_world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    arguments = ["compare", "--data", str(small_world_folder), "--out", str(tmp_path / "report")]
    arguments += ["--baselines", "tf-idf", "--threads", "1"]
    assert main(arguments) == 0
    assert main(arguments) == 0
    assert "other source code" not in capsys.readouterr().out
    status = tmp_path / "report" / "runs" / small_world_folder.name / "tf-idf-seed0" / "run.json"
    status.write_text(json.dumps({**json.loads(status.read_text()), "source": "older"}))
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "1 done already, 0 to do" in printed
    assert "made by other source code of this version: runs of tf-idf;" in printed


def test_a_folder_in_use_or_of_others_is_left_alone(tmp_path: Path):
    with (
        report_folder(tmp_path / "a"),
        pytest.raises(OutputError, match="in use by another comparison"),
        report_folder(tmp_path / "a"),
    ):
        pass
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.tex").touch()
    with (
        pytest.raises(OutputError, match=r"holds other files \(thesis.tex"),
        report_folder(tmp_path / "b"),
    ):
        pass
    with (
        pytest.raises(OutputError, match="can't be used: Not a directory"),
        report_folder(tmp_path / "b" / "thesis.tex" / "c"),
    ):
        pass


@pytest.mark.parametrize(
    ("more", "status", "message"),
    [
        (["--recipes", "magic"], 2, "--recipes magic: unknown"),
        (["--baselines", "magic"], 2, "--baselines magic: unknown"),
        (["--variant", "x"], 2, "write it as NAME=RECIPE_OR_BASELINE:key=value"),
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


def test_data_too_small_for_the_splits_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = write_folder(tmp_path / "data")
    assert call([folder], tmp_path / "report", "--splits", "30") == 1
    assert f"--data {folder} is too small for" in capsys.readouterr().err
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
