import io
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_export.contract.splits import hashed_split
from training.commands.cli import main
from training.config import TransferPlusConfig
from training.data import Dataset
from training.evaluation.result import Evaluation
from training.evaluation.run import evaluate
from training.inference.load import load_checkpoint
from training.inference.representation import represent
from training.trainer.fit import Request, fit

pytestmark = pytest.mark.slow

CONFIG = TransferPlusConfig(
    table_dim=32,
    dim=16,
    hidden_dim=32,
    content_dim=64,
    teacher_dim=8,
    teacher_iterations=2,
    batch_size=64,
    steps=10,
    evaluate_every=5,
)


@pytest.fixture(scope="module")
def checkpoint(world: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fit") / "checkpoint"
    fit(Request("transfer-plus", CONFIG, 5, threads=1, out=folder), world)
    return folder


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


@pytest.mark.parametrize("command", ["evaluate --baseline tf-idf", "cold-start-report"])
def test_what_was_measured_is_kept_where_the_output_takes_no_more(
    command: str, world_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "m.json"
    with open("/dev/full", "wb", buffering=0) as full:
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(full, write_through=True))
        with pytest.raises(OSError, match="No space left"):
            main([*command.split(), "--data", str(world_folder), "--out", str(out)])
    assert out.exists()


def test_a_checkpoint_is_measured(
    world: Dataset, world_folder: Path, checkpoint: Path, tmp_path: Path
):
    out = tmp_path / "metrics.json"
    assert call("--data", world_folder, "--checkpoint", checkpoint, "--out", out) == 0
    found = Evaluation.load(out)
    assert (found.subject, found.seed) == ("transfer-plus", 5)
    source = load_checkpoint(checkpoint)
    expected = evaluate(world, represent(source, world)).summary
    assert found.summary == expected
    assert found.summary["seen"]["NDCG@20"] == pytest.approx(source.metrics["test_seen_NDCG@20"])
    assert found.summary["cold start"]["NDCG@20"] == pytest.approx(
        source.metrics["test_cold_start_NDCG@20"]
    )


def test_robustness_is_written_beside(
    world_folder: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "m.json"
    options = ("--data", world_folder, "--checkpoint", checkpoint, "--out", out, "--robustness")
    assert call(*options) == 0
    rows = json.loads((tmp_path / "m.robustness.json").read_text())
    assert {"modality", "corruption", "share", "metric", "retention", "overlap"} <= set(rows[0])
    assert "boilerplate" in capsys.readouterr().out


def test_embeddings_are_kept_of_all_who_show_anything(
    world: Dataset, world_folder: Path, checkpoint: Path, tmp_path: Path
):
    out, kept = tmp_path / "m.json", tmp_path / "new" / "v.npz"
    options = ("--data", world_folder, "--checkpoint", checkpoint, "--out", out, "--vectors", kept)
    assert call(*options) == 0
    expected = np.asarray(represent(load_checkpoint(checkpoint), world).query)
    usable = np.abs(expected).sum(1) > 0
    with np.load(kept, allow_pickle=False) as blob:
        assert blob["ids"].tolist() == np.array(world.ids)[usable].tolist()
        np.testing.assert_array_equal(blob["vectors"], expected[usable])


def test_val_was_learned_from_in_the_end(
    world_folder: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "m.json"
    options = ("--data", world_folder, "--checkpoint", checkpoint, "--out", out, "--split", "val")
    assert call(*options) == 1
    assert "fit with --set refit=false" in capsys.readouterr().err
    assert not out.exists()


def test_without_the_refit_val_can_be_measured(world: Dataset, world_folder: Path, tmp_path: Path):
    alone = tmp_path / "c"
    fit(Request("transfer-plus", replace(CONFIG, refit=False), 0, threads=1, out=alone), world)
    out = tmp_path / "m.json"
    options = ("--data", world_folder, "--checkpoint", alone, "--out", out, "--split", "val")
    assert call(*options) == 0
    assert Evaluation.load(out).split == "val"


def test_a_checkpoint_of_other_splits_is_refused(
    world: Dataset,
    world_folder: Path,
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    folder = tmp_path / "data"
    shutil.copytree(world_folder, folder)
    shuffled = hashed_split([f"{name}+" for name in world.ids], world.duplicates)
    assert np.any((shuffled == "test") & (world.split != "test"))
    lines = [f"{name},{split}" for name, split in zip(world.ids, shuffled.tolist(), strict=True)]
    (folder / "splits.csv").write_text("\n".join(["streamer_id,split", *lines]) + "\n")
    out = tmp_path / "m.json"
    assert call("--data", folder, "--checkpoint", checkpoint, "--out", out) == 1
    assert "was learned from; train on" in capsys.readouterr().err


def test_other_data_is_allowed_and_said(
    world_folder: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    other, out = tmp_path / "other", tmp_path / "m.json"
    shutil.copytree(world_folder, other)
    (other / "labels.csv").unlink()
    assert call("--data", other, "--checkpoint", checkpoint, "--out", out) == 0
    assert "trained on another data set" in capsys.readouterr().out
    assert "labels" not in Evaluation.load(out).summary


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--baseline", "nosuch", "--out", "m.json"), "--baseline nosuch: unknown; the baselines"),
        (("--baseline", "svd", "--out", "m.txt"), "needs a name that ends in .json"),
        (
            ("--baseline", "svd", "--out", "m.json", "--robustness"),
            "--robustness: needs --checkpoint",
        ),
        (
            ("--baseline", "svd", "--out", "m.json", "--modalities"),
            "--modalities: needs --checkpoint",
        ),
        (
            ("--baseline", "svd", "--out", "m.json", "--vectors", "v.npz"),
            "--vectors: needs --checkpoint",
        ),
        (
            ("--checkpoint", "c", "--out", "m.json", "--vectors", "v.npy"),
            "--vectors v.npy: needs a name that ends in .npz",
        ),
        (("--out", "m.json"), "one of the arguments --checkpoint --baseline is required"),
        (("--baseline", "svd", "--checkpoint", "c", "--out", "m.json"), "not allowed with"),
        (("--baseline", "svd", "--out", "m.json", "--split", "train"), "invalid choice: 'train'"),
        (("--baseline", "svd", "--out", "data/m.json"), "folder of the data set takes no other"),
        (
            ("--checkpoint", "c", "--out", "c/metrics.json"),
            "--out c/metrics.json: the folder of the checkpoint takes no other files; choose",
        ),
        (
            ("--checkpoint", "c", "--out", "a/m.json", "--vectors", "c/established.npz"),
            "--vectors c/established.npz: the folder of the checkpoint takes no other files",
        ),
    ],
)
def test_a_wrong_call_is_told_in_one_line(
    words: tuple[str, ...],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    try:
        status = call("--data", "data", *words)
    except SystemExit as stopped:
        status = stopped.code
    assert status == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_each_file_that_is_written_is_tried_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    taken = tmp_path / "m.per_query.npz"
    taken.mkdir()
    words = ("--data", tmp_path / "no", "--baseline", "svd", "--out", tmp_path / "m.json")
    assert call(*words) == 1
    assert f"{taken} can't be written: Is a directory" in capsys.readouterr().err


def test_what_is_no_checkpoint_is_told(
    world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out, folder = tmp_path / "m.json", tmp_path / "c"
    assert call("--data", world_folder, "--checkpoint", folder, "--out", out) == 1
    assert "it is not a checkpoint" in capsys.readouterr().err
