"""The commands as a person calls them: the main path, and wrong calls in one line."""

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model_export.contract.pieces import pieces_of
from model_export.contract.splits import hashed_split
from tests.support.machine import HANGS_S
from tests.unit.training.helpers import SMALL, steps, write_folder
from training import api
from training.baselines.corpus import Corpus
from training.commands.cli import main
from training.config import (
    TransferPlusConfig,
    as_dict,
    override,
    read_fit_file,
)
from training.data import Dataset, load_dataset
from training.disguises import KINDS
from training.errors import CheckpointError, LeakError, UsageError
from training.evaluation.result import Evaluation
from training.evaluation.run import evaluate
from training.evaluation.setting import setting_of
from training.features.vocabulary import build_vocabulary
from training.inference.load import load_checkpoint
from training.inference.representation import represent
from training.models.checkpoint import Checkpoint
from training.newcomers.measure import METRICS, measure, newcomers_of, ways_of
from training.tasks.recipes import RECIPES
from training.world.world import MIN_STREAMERS


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Status of a wrong call and the line that it says."""
    capsys.readouterr()
    try:
        status = main(words)
    except SystemExit as ended:
        status = int(ended.code or 0)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"python -m training {words[0]}: ")
    return status, line


SVD = "evaluate --data data --baseline svd --out "
CHECKPOINT = "evaluate --data data --checkpoint c --out "
WRONG_CALLS = [
    ("fit --threads 0", 2, "argument --threads: must be a whole number from 1 to 1024, not '0'"),
    ("fit --seed -1", 2, "argument --seed: must be a whole number from 0 to 4294967295, not"),
    ("fit --save-every nan", 2, "argument --save-every: must be a number above 0, not 'nan'"),
    ("fit --recipe magic --data d --out o", 2, "--recipe magic: unknown; the recipes are"),
    ("fit --recipe mlm --set step=3 --data d --out o", 2, "unknown; the valid names are dim"),
    ("fit --recipe mlm --data d --out o --device tpu", 2, "argument --device: invalid choice"),
    ("fit --recipe mlm --data d --out o --precision float16", 2, "argument --precision: invalid"),
    ("fit --recipe mlm --data none --out o", 1, "--data none is not a folder; give a data set fo"),
    ("fit --recipe mlm --data d --out file/below", 1, "--data d is not a folder"),
    ("fit --data d --out o --config no.json", 2, "can't be read: No such file or directory; give"),
    ("tune-tower --threads 99999999999", 2, "argument --threads: must be a whole number from 1"),
    ("data validate none", 1, "none is not a folder; give a data set folder"),
    (f"data validate {'x' * 300}", 1, "can't be used: File name too long; check the path"),
    ("data check", 2, "invalid choice: 'check'"),
    ("world --out file/below", 1, "--out file/below can't be used: Not a directory; choose"),
    ("world --out w --streamers 9", 2, "at least 10 streamers"),
    ("world --out w --streamers many", 2, "argument --streamers"),
    ("cold-start-report --data d --out taken", 1, "--out taken can't be written: Is a directory"),
    ("evaluate --seed x", 2, "argument --seed: must be a whole number from 0 to 4294967295, not"),
    ("evaluate --data d --out m.json", 2, "one of the arguments --checkpoint --baseline is requi"),
    ("evaluate --data d --out m.json --baseline no", 2, "--baseline no: unknown; the baselines"),
    (f"{SVD}m.txt", 2, "needs a name that ends in .json"),
    (f"{SVD}m.json --robustness", 2, "--robustness: needs --checkpoint"),
    (f"{SVD}m.json --modalities", 2, "--modalities: needs --checkpoint"),
    (f"{SVD}m.json --vectors v.npz", 2, "--vectors: needs --checkpoint"),
    (f"{SVD}m.json --checkpoint c", 2, "not allowed with"),
    (f"{SVD}m.json --split train", 2, "invalid choice: 'train'"),
    (f"{SVD}data/m.json", 2, "folder of the data set takes no other"),
    (f"{SVD}file/m.json", 1, "--out file/m.json can't be written: File exists; choose another"),
    (f"{CHECKPOINT}m.json --vectors v.npy", 2, "--vectors v.npy: needs a name that ends in .npz"),
    (f"{CHECKPOINT}c/metrics.json", 2, "the folder of the checkpoint takes no other files; choose"),
    (f"{CHECKPOINT}a/m.json --vectors c/e.npz", 2, "--vectors c/e.npz: the folder of the checkp"),
]


@pytest.mark.parametrize(("words", "status", "told"), WRONG_CALLS)
def test_a_wrong_call_is_told_in_one_line(
    words: str,
    status: int,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("taken").mkdir()
    found, line = said(words.split(), capsys)
    assert found == status
    assert told in line
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["file"]


def test_a_good_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_folder(tmp_path)
    (folder / "notes.csv").write_text("mine\n")
    assert main(["data", "validate", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0] == (
        f"{folder}: all lines OK: 4 streamers, 3 interactions, 3 users, 2 relations, "
        "1 duplicate groups, 3 labels"
    )
    assert "split by splits: 2 train, 1 val, 1 test" in lines
    assert f"digest {load_dataset(folder).digest}" in lines
    assert "ignored files: notes.csv" in lines
    notes = [line for line in lines if line.startswith("note: ")]
    assert [note.split(": ")[1] for note in notes] == ["interactions", "relations", "interactions"]


def test_a_bad_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = {("streamers.jsonl", 3): b"oops", ("labels.csv", 2): b"a"}
    assert main(["data", "validate", str(write_folder(tmp_path, changes))]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("streamers.jsonl:3: Invalid JSON: ")
    assert "labels.csv:2: has 1 values, needs 2: streamer_id,label" in lines
    # The id of line 3 can't be read, so its other lines speak of nobody.
    assert "splits.csv:4: streamer_id: 'c' is not a streamer of this set" in lines
    assert "NOT OK: 5 problems in 5 places" in lines[-1]


SIZE = ("--streamers", "200")
FORMS = [("--streamers", "200"), ("--streamers", "60", "--media")]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def make(folder: Path, *more: str) -> int:
    return main(["world", "--out", str(folder), *SIZE, *more])


PINNED = {
    "duplicates.csv": "50a575c6ad89d71398420a4751335d9da7ba3a5e3530583ff56b10fcfea987be",
    "interactions.csv": "8a421576517a3a79cd6543249146bcc4a5e501234819219456316684ffa41ef8",
    "labels.csv": "fe80dc8a552251bf536e6504c2887afc106ee744d0d7b2b4ca13e50d4c5f67ac",
    "splits.csv": "46d601aa770d65c575262ba13692d9dc5dccae34871192cefe3b91f1e8b19b63",
    "streamers.jsonl": "48a618a52ba5bcb7130541d02d487ecf99c1ea1e8b8911153ab6b6059c70a0bd",
}
"""SHA-256 of the world of 120 streamers with seed 3, as generator 2 makes it."""


def test_a_generator_of_the_same_number_makes_the_same_bytes(tmp_path: Path) -> None:
    assert main(["world", "--out", str(tmp_path), "--streamers", "120", "--seed", "3"]) == 0
    found = contents(tmp_path)
    marker = found.pop("world.json")
    assert b'"generator": 2' in marker
    assert b"media" not in marker
    assert {name: hashlib.sha256(data).hexdigest() for name, data in found.items()} == PINNED


@pytest.mark.parametrize("form", FORMS, ids=["vectors", "media"])
def test_the_same_seed_gives_the_same_bytes_in_any_process(
    tmp_path: Path, form: tuple[str, ...]
) -> None:
    subprocess.run(
        [sys.executable, "-m", "training", "world", "--out", tmp_path / "process", *form],
        env={**os.environ, "PYTHONHASHSEED": "424242"},
        check=True,
        timeout=HANGS_S,
        capture_output=True,
    )
    assert make(tmp_path / "here", *form) == 0
    one = contents(tmp_path / "here")
    assert one == contents(tmp_path / "process")
    assert make(tmp_path / "other", "--seed", "1", *form) == 0
    other = contents(tmp_path / "other")
    assert other.keys() == one.keys()
    assert all(other[name] != one[name] for name in one)


def test_it_is_a_good_data_set_in_both_formats(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make(tmp_path / "lines") == 0
    assert make(tmp_path / "parquet", "--format", "parquet") == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'lines'}: 200 streamers on ")
    one, two = load_dataset(tmp_path / "lines"), load_dataset(tmp_path / "parquet")
    assert one.profiles == two.profiles
    assert one.split.tolist() == two.split.tolist()
    assert one.labels == two.labels
    assert one.interactions is not None
    assert two.interactions is not None
    assert one.interactions.user_ids == two.interactions.user_ids
    assert abs(one.interactions.matrix - two.interactions.matrix).sum() == 0
    assert one.duplicates is not None
    assert two.duplicates is not None
    assert one.duplicates.tolist() == two.duplicates.tolist()
    assert main(["data", "validate", str(tmp_path / "lines")]) == 0
    assert main(["data", "validate", str(tmp_path / "parquet")]) == 0


def test_nothing_is_overwritten_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*arguments: str) -> str:
        before = contents(tmp_path)
        assert make(tmp_path, *arguments) == 1
        assert contents(tmp_path) == before
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1
        return error

    (tmp_path / "mine.txt").write_text("mine")
    assert "holds other files (mine.txt, ...)" in refused()
    assert make(tmp_path, "--overwrite") == 0
    made = contents(tmp_path)
    assert made["mine.txt"] == b"mine"
    capsys.readouterr()
    assert make(tmp_path) == 0
    assert "already holds this world" in capsys.readouterr().out
    for other in (("--seed", "1"), ("--format", "parquet"), ("--media",)):
        assert "another world" in refused(*other)

    # An extra part would belong to no world: it is seen, and goes away when asked.
    (tmp_path / "relations.csv").write_text("streamer_id,related_id,weight\n")
    assert "files have changed" in refused()
    assert make(tmp_path, "--overwrite") == 0
    assert contents(tmp_path) == made


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_held_out_streamers_get_copies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world, out = tmp_path / "world", tmp_path / "out"
    assert main(["world", "--out", str(world), "--streamers", str(max(400, MIN_STREAMERS))]) == 0
    given = ["release-data", "--data", str(world), "--out", str(out), "--copies", "5"]
    assert main(given) == 0
    assert main(["data", "validate", str(out)]) == 0
    splits = {row["streamer_id"]: row["split"] for row in rows(out, "splits")}
    groups = {row["streamer_id"]: row["group"] for row in rows(out, "duplicates")}
    disguised = [row for row in rows(out, "duplicates") if row["disguise"]]
    counts = Counter(row["disguise"] for row in disguised)
    assert counts.keys() <= set(KINDS)
    assert counts["zero_width"] == counts["shuffled_sentences"] == 5
    members = Counter(groups.values())
    assert all(members[row["group"]] > 1 for row in disguised)
    assert all(splits[row["streamer_id"]] == "test" for row in disguised)
    lines = (out / "streamers.jsonl").read_text(encoding="utf-8").splitlines()
    ids = [json.loads(line)["streamer_id"] for line in lines]
    assert len(ids) == len(set(ids)) == len(splits)
    assert rows(out, "interactions") == rows(world, "interactions")
    capsys.readouterr()
    assert main(given) == 1
    assert "exists already; choose another --out" in capsys.readouterr().err


def call(*words: object) -> int:
    return main(["evaluate", *map(str, words)])


def test_a_baseline_is_measured_printed_and_written(
    world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "new" / "metrics.json"
    assert call("--data", world_folder, "--baseline", "tf-idf", "--out", out) == 0
    found = Evaluation.load(out)
    assert (found.subject, found.split, found.data) == ("tf-idf", "test", world_folder.name)
    printed = capsys.readouterr().out
    assert f"tf-idf on {world_folder.name}, test split" in printed
    assert f"NDCG@20              {found.summary['seen']['NDCG@20']:8.4f}" in printed
    assert printed.endswith(f"saved {out}\n")


def test_a_checkpoint_is_measured(
    world: Dataset, world_folder: Path, fitted_folder: Path, tmp_path: Path
):
    out, kept = tmp_path / "m.json", tmp_path / "new" / "v.npz"
    options = (
        "--data",
        world_folder,
        "--checkpoint",
        fitted_folder,
        "--out",
        out,
        "--vectors",
        kept,
    )
    assert call(*options, "--robustness", "--modalities") == 0
    found = Evaluation.load(out)
    assert (found.subject, found.seed) == ("transfer-plus", 1)
    source = load_checkpoint(fitted_folder)
    represented = represent(source, world)
    assert found.summary == evaluate(world, represented).summary
    assert found.summary["seen"]["NDCG@20"] == pytest.approx(source.metrics["test_seen_NDCG@20"])
    assert found.summary["cold start"]["NDCG@20"] == pytest.approx(
        source.metrics["test_cold_start_NDCG@20"]
    )
    vectors = np.asarray(represented.query)
    with np.load(kept, allow_pickle=False) as blob:  # of all who show anything
        assert blob["ids"].tolist() == np.array(world.ids)[vectors.any(1)].tolist()
        np.testing.assert_array_equal(blob["vectors"], vectors[vectors.any(1)])
    rows = json.loads((tmp_path / "m.robustness.json").read_text())
    assert {"modality", "corruption", "share", "metric", "retention", "overlap"} <= set(rows[0])
    alone = json.loads((tmp_path / "m.modalities.json").read_text())
    assert "covers" in json.dumps(alone)


def test_a_checkpoint_is_not_measured_by_whom_it_learned_from(
    world: Dataset,
    world_folder: Path,
    fitted_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    folder, out = shutil.copytree(world_folder, tmp_path / "data"), tmp_path / "m.json"
    shuffled = hashed_split([f"{name}+" for name in world.ids], world.duplicates)
    lines = [f"{name},{split}" for name, split in zip(world.ids, shuffled.tolist(), strict=True)]
    (folder / "splits.csv").write_text("\n".join(["streamer_id,split", *lines]) + "\n")
    for data, where, more, told in (
        (world_folder, fitted_folder, ["--split", "val"], "fit with --set refit=false"),
        (folder, fitted_folder, [], "was learned from; train on"),
        (world_folder, tmp_path / "c", [], "it is not a checkpoint"),
    ):
        assert call("--data", data, "--checkpoint", where, "--out", out, *more) == 1
        assert told in capsys.readouterr().err
        assert not out.exists()


def test_a_way_that_knows_the_users_is_perfect(world: Dataset) -> None:
    known = np.sort(setting_of(world, "test").gallery)
    given = newcomers_of(world, Corpus(world, [pieces_of(p) for p in world.profiles], known, 0))
    truth = np.zeros((len(given.queries), given.watched.get_shape()[1]), np.float32)
    for row, users in enumerate(given.relevant):
        truth[row, users] = 1
    perfect = measure(given, "truth", truth.__getitem__)
    assert perfect.values["NDCG@50", "all"].mean == pytest.approx(1)
    ways = {name: measure(given, name, way) for name, way in ways_of(given, 0).items()}
    found = {name: way.values["NDCG@50", "all"].mean for name, way in ways.items()}
    assert found["random"] < found["popularity"] < found["ridge"] < 1


def test_the_page_has_all_ways(world_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert main(["cold-start-report", "--data", str(world_folder), "--out", str(out)]) == 0
    page = out.read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2 * len(METRICS)
    for name in ("random", "popularity", "category popularity", "kNN-borrowed", "ridge"):
        assert f"<td>{name}" in page


def test_encoders_that_learned_from_newcomers_and_data_without_users_are_refused(
    world: Dataset, world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newcomer = world.ids[world.rows("test")[0]]
    words = build_vocabulary([pieces_of(profile) for profile in world.profiles])
    learned, out = tmp_path / "checkpoint", tmp_path / "report.html"
    Checkpoint({}, words, {}, {}, learned_from=[newcomer]).save(learned)
    given = ["--data", str(world_folder), "--checkpoint", str(learned), "--out", str(out)]
    assert main(["cold-start-report", *given]) == 1
    assert f"{newcomer!r} (test) was learned from" in capsys.readouterr().err
    for name in ("streamers.jsonl", "splits.csv"):
        (tmp_path / name).write_bytes((world_folder / name).read_bytes())
    assert main(["cold-start-report", "--data", str(tmp_path), "--out", str(out)]) != 0
    assert "interactions.csv" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("assignment", "problem"),
    [
        ("steps", "--set steps: write it as name=value"),
        ("steps=1.5", "--set steps=1.5: needs int"),
        ("dropout=much", "needs float"),
        ("refit=1", "needs true or false"),
        ("contrast=best", "needs one of info-nce, false-negative-mask"),
        ("temperature=0", "must be more than 0"),
        ("learning_rate=nan", "must be more than 0"),
        ("batch_size=0", "must be 2 or more"),
        ("evaluate_every=0", "must be 1 or more"),
        ("steps=-1", "must be 0 or more"),
        ("token_dropout=1", r"must be in \[0, 1\)"),
        ("modality_dropout=0.6", r"must be in \[0, 0.5\]"),
        ("teacher_noise=1.5", r"must be in \[0, 1\]"),
        ("matryoshka=8,4", "needs ascending widths, such as 32,64"),
        ("filter=tags", "unknown; the valid names are"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_right(assignment: str, problem: str):
    with pytest.raises(UsageError, match=problem):
        override(TransferPlusConfig(), [assignment])


def write(folder: Path, content: Any) -> Path:
    file = folder / "mine.json"
    text = content if isinstance(content, str) else json.dumps(content)
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("recipe", RECIPES)
def test_all_settings_come_back_as_they_were(tmp_path: Path, recipe: str):
    default = RECIPES[recipe].config()
    changed = override(default, ["learning_rate=1.1e-5", "refit=false", "steps=77", "dim=48"])
    given = read_fit_file(write(tmp_path, {"recipe": recipe, "config": as_dict(changed)}))
    assert given.settings(default, "") == changed
    assert given.recipe == recipe


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"recipe": "mlm", "config": {"stepz": 7}}, "stepz: unknown; the valid names are dim, "),
        ({"recipe": "mlm", "config": {"refit": 1}}, "refit=1: needs true or false"),
        ({"recipe": "mlm", "config": {"warm_up": 1.5}}, "warm_up=1.5: must be in [0, 1)"),
        ({"recipes": "mlm"}, "recipes: Extra inputs are not permitted"),
        ({"seed": -1}, "seed: Input should be greater than or equal to 0"),
        ({"seed": "1"}, "seed: Input should be a valid integer"),
        ({"config": {"steps": None}}, "config.steps"),
        ("[1]", "Input should be an object"),
        ("steps: 7", "Invalid JSON"),
        ({"seed": 1}, "--recipe is required, unless --config names one"),
        ({"recipe": "mlm", "init_from": {"recipe": "mlm"}}, "name it with --init-from, or remove"),
    ],
)
def test_a_file_of_another_kind_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: Any, problem: str
):
    file = write(tmp_path, content)
    status, line = said(["fit", "--data", "no", "--out", "no", "--config", str(file)], capsys)
    assert status == 2
    assert problem in line


def test_the_split_of_a_fit_is_dealt_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = write_folder(tmp_path / "data")
    config = write(tmp_path, {"recipe": "masked-views", "split_number": 2})
    words = ["fit", "--data", str(data), "--out", str(tmp_path / "out"), "--config", str(config)]
    assert main(words) == 1
    assert f"{data} is too small for split number 2" in capsys.readouterr().err
    assert main([*words, "--split-number", "4"]) == 1
    assert f"{data} is too small for split number 4" in capsys.readouterr().err


SETTINGS: dict[str, Any] = SMALL | {"steps": 4, "evaluate_every": 2}


@pytest.fixture(scope="module")
def data(tiny_world_folder: Path) -> api.Dataset:
    return api.load_dataset(tiny_world_folder)


@pytest.fixture(scope="module")
def small_checkpoint(data: api.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("api") / "checkpoint"
    fitted = api.fit(data, folder, "masked-views", SETTINGS, seed=3)
    assert fitted.config["seed"] == 3
    return folder


def test_a_fit_is_recorded_and_is_loaded_the_second_time(data: api.Dataset, small_checkpoint: Path):
    assert steps(small_checkpoint, "select") == [0, 2, 4]
    written = (small_checkpoint / "metrics.json").stat().st_mtime_ns
    again = api.fit(data, small_checkpoint, "masked-views", SETTINGS, seed=3)
    assert again.metrics == json.loads((small_checkpoint / "metrics.json").read_text())
    assert (small_checkpoint / "metrics.json").stat().st_mtime_ns == written
    with pytest.raises(CheckpointError, match="other seed; choose another --out"):
        api.fit(data, small_checkpoint, "masked-views", SETTINGS, seed=4)


def test_embeddings_are_unit_rows_and_zero_without_content(
    data: api.Dataset, small_checkpoint: Path
):
    empty = data.profiles[0].model_construct(streamer_id="empty")
    found = api.embed(small_checkpoint, [*data.profiles[:3], empty])
    assert found.shape == (4, SETTINGS["dim"])
    np.testing.assert_allclose(np.linalg.norm(found[:3], axis=1), 1, atol=1e-3)
    assert not found[3].any()


def test_an_evaluation_is_that_of_the_command(
    data: api.Dataset, small_checkpoint: Path, tmp_path: Path
):
    evaluation = api.evaluate(small_checkpoint, data)
    out = tmp_path / "metrics.json"
    arguments = ["evaluate", "--data", str(data.folder), "--checkpoint", str(small_checkpoint)]
    assert main([*arguments, "--out", str(out)]) == 0
    assert evaluation.summary == json.loads(out.read_text())["summary"]
    with pytest.raises(LeakError, match="the refit learned from val"):
        api.evaluate(small_checkpoint, data, "val")


def test_the_config_of_a_checkpoint_repeats_its_fit(
    data: api.Dataset, small_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    config = ["fit", "--data", str(data.folder), "--config", str(small_checkpoint / "config.json")]
    config += ["--threads", "1", "--out"]
    assert main([*config, str(tmp_path / "same")]) == 0
    one, other = Checkpoint.load(small_checkpoint), Checkpoint.load(tmp_path / "same")
    assert one.config == other.config
    assert all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)
    # Options count more than the file.
    options = ["--set", "steps=0", "--seed", "8", "--recipe", "masked-views"]
    assert main([*config, str(tmp_path / "other"), *options]) == 0
    changed = Checkpoint.load(tmp_path / "other").config
    assert (changed["seed"], changed["config"]) == (8, {**one.config["config"], "steps": 0})
    capsys.readouterr()
    assert main([*config, str(tmp_path / "mlm"), "--recipe", "mlm"]) == 2
    assert "config.json: contrast: unknown; the valid names are dim" in capsys.readouterr().err
