import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from model_export.contract.features import Featurizer, collate
from model_export.contract.pieces import pieces_of
from tests.unit.training.small import stage_of
from tests.unit.training.tracking.recorded import lines, story
from training.commands.cli import main
from training.config import MaskedViewsConfig, TransferPlusConfig
from training.data import Dataset, load_dataset
from training.errors import CheckpointError, UsageError
from training.evaluation.audience import VOTES
from training.evaluation.subject import AudienceVote
from training.inference.load import load_checkpoint
from training.inference.representation import represent
from training.models.checkpoint import Checkpoint, is_finished, save_state
from training.preparation.stage import prepare, sample
from training.teachers.id_embeddings import find_teacher, handed_over
from training.trainer.fit import Request, audience_vote, fit
from training.world import generate
from training.world.files import write_world

pytestmark = pytest.mark.slow

WIDTHS = {"table_dim": 32, "dim": 16, "hidden_dim": 32, "content_dim": 256}
SMALL: dict[str, Any] = WIDTHS | {"batch_size": 64}
KERNEL: dict[str, Any] = {"kernel_rank": 16, "kernel_table_dim": 32, "kernel_hidden_dim": 32}
QUICK = TransferPlusConfig(**SMALL, steps=20, evaluate_every=10, teacher_dim=16)


def request(out: Path, config: TransferPlusConfig | MaskedViewsConfig = QUICK, seed: int = 1):
    recipe = "transfer-plus" if isinstance(config, TransferPlusConfig) else "masked-views"
    return Request(recipe, config, seed, threads=1, out=out)


@pytest.fixture(scope="module")
def checkpoint_folder(world: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    fit(request(folder), world)
    return folder


@pytest.fixture(scope="module")
def small(small_world_folder: Path) -> Dataset:
    """For what is compared with itself, whatever its size."""
    return load_dataset(small_world_folder)


@pytest.fixture(scope="module")
def small_checkpoint(small: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return fit(request(tmp_path_factory.mktemp("small")), small)


def test_a_checkpoint_is_all_that_the_exporter_needs(checkpoint_folder: Path, world: Dataset):
    source = load_checkpoint(checkpoint_folder)
    assert (source.recipe, source.dim, source.content_dim) == ("transfer-plus", 16, 256)
    assert source.data_digest == world.digest
    assert source.config["config"]["steps"] == 20
    assert source.config["seed"] == 1
    assert source.id_space is not None
    assert source.id_space.dim == 16
    assert not source.module.training
    featurizer = Featurizer(source.vocabulary)
    batch = collate([featurizer(profile) for profile in world.profiles[:8]])
    with torch.no_grad():
        outputs = source.module(*(torch.from_numpy(array) for array in batch.values()))
    assert [tuple(out.shape) for out in outputs] == [(8, 16), (8, 256), (8, 11), (8, 16)]


def test_established_are_the_teacher_s_streamers_without_the_test_split(
    checkpoint_folder: Path, world: Dataset
):
    established = load_checkpoint(checkpoint_folder).established
    assert established is not None
    split = dict(zip(world.ids, world.split, strict=True))
    assert {split[name] for name in established.ids} == {"train", "val"}
    assert established.vectors.shape == (len(established.ids), 16)


def test_the_predicted_id_embedding_is_in_the_units_of_its_space(
    checkpoint_folder: Path, world: Dataset
):
    source = load_checkpoint(checkpoint_folder)
    assert source.established is not None
    vectors = source.established.vectors
    known = [world.profiles[world.ids.index(name)] for name in source.established.ids[:64]]
    batch = collate([Featurizer(source.vocabulary)(profile) for profile in known])
    with torch.no_grad():
        predicted = source.module(*(torch.from_numpy(a) for a in batch.values()))[3].numpy()
    mean = vectors.mean(0)  # (E,), what a ridge regression falls back to
    off = np.linalg.norm(predicted.mean(0) - mean) / np.linalg.norm(mean)
    assert off < 0.4


def test_metrics_stand_beside_tf_idf(checkpoint_folder: Path, world: Dataset):
    metrics = Checkpoint.load(checkpoint_folder).metrics
    assert 0 < metrics["test_seen_NDCG@20"] <= 1
    assert 0 < metrics["test_seen_TF-IDF_NDCG@20"] <= 1
    assert metrics["streamers"] == 300
    assert 0 <= metrics["duplicate_f1_all"] <= 1
    chosen = AudienceVote(
        metrics["validation_audience_temperature"], metrics["validation_audience_sharing"]
    )
    assert chosen in VOTES
    assert represent(load_checkpoint(checkpoint_folder), world).audience_vote == chosen
    assert all(isinstance(value, float) for value in metrics.values())


def test_a_vote_is_chosen_by_whole_audiences_where_few_are_searched(
    small: Dataset, monkeypatch: pytest.MonkeyPatch
):
    known, asking = small.rows("train"), small.rows("val")
    hub = np.setdiff1d(known, sample(known, 8, seed=0))[0]
    related = sp.lil_matrix((len(small.ids), len(small.ids)), dtype=np.float32)
    related[hub, :hub] = related[hub, hub + 1 :] = 1
    whole = sp.csr_matrix(related + related.T)
    data = replace(small, interactions=None, relations=whole)
    stage = stage_of(data, MaskedViewsConfig(**SMALL))
    monkeypatch.setattr("training.trainer.fit.MOST_SEARCHED", 8)
    assert audience_vote(stage, asking) in VOTES


def test_only_the_finished_files_are_left(checkpoint_folder: Path):
    assert sorted(path.name for path in checkpoint_folder.iterdir()) == [
        "config.json",
        "established.npz",
        "learned_from.txt",
        "metrics.json",
        "metrics.jsonl",
        "model.safetensors",
        "vocabulary.json",
    ]


def test_masked_views_needs_no_behaviour(small: Dataset, tmp_path: Path):
    alone = replace(small, interactions=None, relations=None, id_embeddings=None)
    config = MaskedViewsConfig(**SMALL, steps=20, evaluate_every=10)
    metrics = fit(request(tmp_path / "c", config), alone).metrics
    assert 0 < metrics["validation_MRR"] <= 1
    source = load_checkpoint(tmp_path / "c")
    assert source.id_space is None
    assert source.established is None


def test_transfer_plus_without_behaviour_says_what_to_do(small: Dataset, tmp_path: Path):
    alone = replace(small, interactions=None, relations=None, id_embeddings=None)
    with pytest.raises(UsageError, match="use --recipe masked-views"):
        fit(request(tmp_path / "c"), alone)


def test_without_a_validation_split_all_steps_are_made(small: Dataset, tmp_path: Path):
    split = np.where(small.split == "val", "train", small.split)
    checkpoint = fit(request(tmp_path / "c"), replace(small, split=split))
    assert checkpoint.metrics["validation_step"] == QUICK.steps
    assert "validation_NDCG@20" not in checkpoint.metrics


def plant(world: Dataset) -> Dataset:
    """The same world with another first cold streamer: other content, everybody's favourite."""
    cold = int(world.rows("test")[0])
    assert world.interactions is not None
    profiles = list(world.profiles)
    profiles[cold] = profiles[cold].model_copy(
        update={"bio": "planted words " * 9, "tags": ["planted"] * 9, "name": "planted"}
    )
    matrix = world.interactions.matrix.tolil()
    matrix[cold] = 1
    interactions = replace(world.interactions, matrix=sp.csr_matrix(matrix.tocsr()))
    return replace(world, profiles=profiles, interactions=interactions)


def test_no_cold_streamer_touches_what_is_learned(
    small: Dataset, small_checkpoint: Checkpoint, tmp_path: Path
):
    one, other = small_checkpoint, fit(request(tmp_path), plant(small))
    assert one.vocabulary == other.vocabulary
    assert all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)
    assert one.metrics["test_seen_NDCG@20"] != other.metrics["test_seen_NDCG@20"]


def test_validation_streamers_are_cold_while_the_steps_are_chosen(world: Dataset):
    known = world.rows("train")
    teacher = find_teacher(world, known, QUICK, seed=0, threads=1)
    assert set(teacher.rows) <= set(known)
    pieces = [pieces_of(profile) for profile in world.profiles]
    stage = prepare(world, pieces, known, teacher, QUICK, seed=0, threads=1)
    assert stage.vocabulary.documents == len(known)


def test_the_same_seed_gives_the_same_and_another_another(
    small: Dataset, small_checkpoint: Checkpoint, tmp_path: Path
):
    first = small_checkpoint.tensors["table"]
    same, other = (
        fit(request(tmp_path / str(seed), seed=seed), small).tensors["table"] for seed in (1, 2)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("recipe", ["masked-views", "transfer-plus"])
def test_a_set_that_is_read_again_at_every_pass_gives_the_same(
    tiny_world_folder: Path, tmp_path: Path, recipe: str
):
    short = {**SMALL, "steps": 4, "evaluate_every": 2}
    config = MaskedViewsConfig(**short) if recipe == "masked-views" else replace(QUICK, steps=4)
    for in_memory in (40, 39):
        dataset = load_dataset(tiny_world_folder, in_memory)
        fit(request(tmp_path / str(in_memory), config), dataset)
    one, other = (Checkpoint.load(tmp_path / name) for name in ("40", "39"))
    assert one.vocabulary == other.vocabulary
    assert all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)
    assert one.config == other.config


COMMAND = [sys.executable, "-m", "training", "fit", "--recipe", "transfer-plus", "--threads", "1"]


def settings(steps: int) -> list[str]:
    values = SMALL | KERNEL | {"steps": steps, "evaluate_every": 5}
    values |= {"teacher_dim": 16, "patience": 100}
    return [part for name, value in values.items() for part in ("--set", f"{name}={value}")]


def call(folder: Path, out: Path, *more: str, steps: int = 20) -> int:
    arguments = ["--data", str(folder), "--out", str(out), *settings(steps), *more]
    return main([*COMMAND[3:], *arguments])


def test_the_command_prints_a_summary(
    small_world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert call(small_world_folder, tmp_path / "c") == 0
    printed = capsys.readouterr()
    for word in ("80 streamers", "als", "NDCG@20", "TF-IDF", "content cosine", " MB", "saved"):
        assert word in printed.out
    assert "select step 5: NDCG@20" in printed.err
    assert printed.out.count("interactions: weights and repeated pairs count alike") == 1
    assert "\r" not in printed.err


def test_a_finished_checkpoint_is_not_trained_again(
    tiny_world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert call(tiny_world_folder, tmp_path / "c", steps=4) == 0
    before = (tmp_path / "c" / "metrics.json").stat().st_mtime_ns
    capsys.readouterr()
    assert call(tiny_world_folder, tmp_path / "c", steps=4) == 0
    assert "already trained" in capsys.readouterr().out
    assert call(tiny_world_folder, tmp_path / "c", "--seed", "9", steps=4) == 1
    error = capsys.readouterr().err
    assert "other seed" in error
    assert "--overwrite" in error
    assert (tmp_path / "c" / "metrics.json").stat().st_mtime_ns == before
    assert call(tiny_world_folder, tmp_path / "c", "--seed", "9", "--overwrite", steps=4) == 0
    assert json.loads((tmp_path / "c" / "config.json").read_text())["seed"] == 9


@pytest.mark.parametrize(
    ("more", "status", "message"),
    [
        (["--set", "step=3"], 2, "unknown; the valid names are dim"),
        (["--recipe", "magic"], 2, "the recipes are masked-views, "),
        (["--data", "/nowhere"], 1, "--data /nowhere is not a folder; give a data set folder"),
        (["--out", "/proc/nothing"], 1, "--out /proc/nothing can't be used: No such file or"),
    ],
)
def test_wrong_calls_are_one_line(
    small_world_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    status: int,
    message: str,
):
    assert call(small_world_folder, tmp_path / "c", *more) == status
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_killed_in_the_middle_it_goes_on_to_the_same_result(tmp_path: Path):
    world = tmp_path / "world"
    write_world(generate(150, 3), world, 3, "jsonl")  # of 80, step 0 is best: nothing is refitted
    more = ["--set", "evaluate_every=10", "--set", "learning_rate=0.01", "--save-every", "0.001"]
    arguments = ["--data", str(world), *settings(20), *more]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    # All in one environment: another number of threads adds up in another order.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    worker = [sys.executable, "-m", "tests.unit.training.trainer.killed_worker", str(killed), str(whole)]
    command = [*worker, *COMMAND[3:], *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    ended = [json.loads(line) for line in done.stdout.splitlines()]
    assert ended == [
        [-signal.SIGKILL, "select", False],
        [-signal.SIGKILL, "refit", False],
        [0, None, True],
        [0, None, True],
    ], done.stderr
    one, other = Checkpoint.load(killed), Checkpoint.load(whole)
    assert one.config == other.config
    assert all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)
    assert story(killed) == story(whole)
    resumed = [(line["stage"]) for line in lines(killed) if line["event"] == "resume"]
    assert resumed == ["select", "refit"]
    varying = {"fit_seconds", "peak_rss_mb"}
    assert {k: v for k, v in one.metrics.items() if k not in varying} == {
        k: v for k, v in other.metrics.items() if k not in varying
    }


def test_an_unfinished_fit_of_other_settings_is_not_mixed_up(
    tiny_world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "c"
    out.mkdir()
    save_state(out, {"x": torch.zeros(1)}, {"run": "another", "stage": "select"})
    assert call(tiny_world_folder, out, steps=4) == 1
    assert "unfinished fit with other settings" in capsys.readouterr().err
    with pytest.raises(CheckpointError, match="its training was not finished"):
        load_checkpoint(out)
    assert call(tiny_world_folder, out, "--overwrite", steps=4) == 0
    assert is_finished(out)


def test_with_private_clicks_only_id_embeddings_are_learned_from(small: Dataset, tmp_path: Path):
    private = replace(QUICK, clicks="private")
    fit(request(tmp_path / "private", private), small)
    given = handed_over(small, private, seed=1, threads=1)
    assert given.interactions is None
    assert given.id_embeddings is not None
    assert set(given.id_embeddings.ids) <= {small.ids[row] for row in small.rows("train", "val")}
    fit(request(tmp_path / "given"), given)
    one, other = (Checkpoint.load(tmp_path / name) for name in ("private", "given"))
    assert all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)
    assert "test_seen_NDCG@20" not in one.metrics  # audiences are nowhere to be found
    assert one.metrics["validation_NDCG@20"] == other.metrics["validation_NDCG@20"]
    assert handed_over(small, QUICK, seed=1, threads=1) is small
