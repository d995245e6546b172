"""Fits end to end: the same by seed, resumed after an interruption, started from an earlier one."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from model_export.contract.features import Featurizer, collate
from tests.support.machine import HANGS_S
from tests.unit.training.helpers import (
    SMALL,
    TAUGHT,
    lines,
    settings_of,
    story,
    without_behaviour,
)
from training.api import embed
from training.commands.cli import main
from training.config import RecipeConfig
from training.data import Dataset, load_dataset
from training.errors import CheckpointError, DivergedError, LeakError, UsageError
from training.evaluation.audience import VOTES
from training.evaluation.subject import AudienceVote
from training.inference.load import load_checkpoint
from training.inference.representation import represent
from training.models.checkpoint import Checkpoint, is_finished
from training.models.distributed import Compute
from training.models.encoder import StreamerEncoder
from training.tasks.recipes import RECIPES
from training.teachers.id_embeddings import handed_over
from training.trainer.fit import Request, fit
from training.trainer.loop import Settings

KERNEL = {"kernel_rank": 16, "kernel_table_dim": 32, "kernel_hidden_dim": 32}


def request(out: Path, config: RecipeConfig, seed: int = 1, **more: Any) -> Request:
    recipe = next(name for name, found in RECIPES.items() if found.config is type(config))
    return Request(recipe, config, seed, threads=1, out=out, **more)


def assert_same_weights(one: Checkpoint, other: Checkpoint) -> None:
    assert one.tensors.keys() == other.tensors.keys()
    assert all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)


@pytest.fixture(scope="module")
def tiny(tiny_world_folder: Path) -> Dataset:
    return load_dataset(tiny_world_folder)


@pytest.fixture(scope="module")
def all_steps(tiny: Dataset) -> Dataset:
    """A world with nobody to validate on, so that all steps are made."""
    return replace(tiny, split=np.where(tiny.split == "val", "train", tiny.split))


class Interrupting(io.StringIO):
    """Ctrl-C is pressed while a line with this text is written."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def write(self, line: str) -> int:
        if self._text in line:
            raise KeyboardInterrupt
        return super().write(line)


@pytest.mark.parametrize("recipe", RECIPES)
def test_each_recipe_ends_the_same_after_an_interruption(
    all_steps: Dataset, tmp_path: Path, recipe: str
):
    taught = recipe.startswith(("kd", "transfer"))
    config = settings_of(recipe, dropout=0.2, refit=not taught)
    compute = Compute(precision="bfloat16" if recipe == "kd-soft" else "float32")
    whole, stopped = (
        request(tmp_path / name, config, save_every_s=0, compute=compute)
        for name in ("whole", "stopped")
    )
    assert fit(whole, all_steps).metrics["validation_step"] == 4
    moment = "select step 2" if taught else "refit step 4"
    with redirect_stderr(Interrupting(moment)), pytest.raises(KeyboardInterrupt):
        fit(stopped, all_steps)
    assert not is_finished(stopped.out)
    fit(stopped, all_steps)
    one, other = Checkpoint.load(whole.out), Checkpoint.load(stopped.out)
    assert_same_weights(one, other)
    assert one.config == other.config
    assert story(whole.out) == story(stopped.out)
    resumed = [line["step"] for line in lines(stopped.out) if line["event"] == "resume"]
    assert resumed == [int(moment[-1]) - 1]

    source = load_checkpoint(whole.out)
    assert type(source.module) is StreamerEncoder  # whatever heads it was trained with
    assert source.recipe == recipe
    assert (source.id_space is not None) == taught


def test_two_processes_train_as_one_does(tiny_world_folder: Path, tmp_path: Path):
    """Without dropout, which draws other numbers in each process."""
    options = {"batch_size": 30, "dropout": 0, "kernel_dropout": 0, "refit": "false", **KERNEL}
    options |= TAUGHT | {"steps": 4, "evaluate_every": 2, "text_tower": "", "batch_size": 30}
    given = [part for name, value in options.items() for part in ("--set", f"{name}={value}")]
    command = ["fit", "--recipe", "transfer-plus", "--data", str(tiny_world_folder), *given]
    command += ["--threads", "1", "--out"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launch, "-m", "training", *command, str(tmp_path / "two")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        timeout=HANGS_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert main([*command, str(tmp_path / "one")]) == 0
    two, one = (Checkpoint.load(tmp_path / name) for name in ("two", "one"))
    assert two.config["compute"]["processes"] == 2
    losses = [[line.get("losses") for line in lines(tmp_path / name)] for name in ("two", "one")]
    for found, expected in zip(*losses, strict=True):
        assert (found or {}) == pytest.approx(expected or {}, rel=1e-4)
    vectors = [
        embed(tmp_path / name, load_dataset(tiny_world_folder).profiles) for name in ("two", "one")
    ]
    assert (vectors[0] * vectors[1]).sum(1).min() > 0.999
    assert two.vocabulary == one.vocabulary


def test_a_checkpoint_is_all_that_the_exporter_needs(fitted_folder: Path, world: Dataset):
    source = load_checkpoint(fitted_folder)
    assert (source.recipe, source.dim, source.content_dim) == ("transfer-plus", 16, 32)
    assert source.data_digest == world.digest
    assert source.config["config"]["steps"] == 20
    assert source.config["seed"] == 1
    assert source.id_space is not None
    assert source.id_space.dim == 8
    assert not source.module.training
    featurizer = Featurizer(source.vocabulary)
    batch = collate([featurizer(profile) for profile in world.profiles[:8]])
    with torch.no_grad():
        outputs = source.module(*(torch.from_numpy(array) for array in batch.values()))
    assert [tuple(out.shape) for out in outputs] == [(8, 16), (8, 32), (8, 11), (8, 8)]


def test_established_are_the_teacher_s_streamers_without_the_test_split(
    fitted_folder: Path, world: Dataset
):
    established = load_checkpoint(fitted_folder).established
    assert established is not None
    split = dict(zip(world.ids, world.split, strict=True))
    assert {split[name] for name in established.ids} == {"train", "val"}
    assert established.vectors.shape == (len(established.ids), 8)


def test_metrics_stand_beside_tf_idf(fitted_folder: Path, world: Dataset):
    metrics = Checkpoint.load(fitted_folder).metrics
    assert 0 < metrics["test_seen_NDCG@20"] <= 1
    assert 0 < metrics["test_seen_TF-IDF_NDCG@20"] <= 1
    assert metrics["streamers"] == 300
    assert 0 <= metrics["duplicate_f1_all"] <= 1
    chosen = AudienceVote(
        metrics["validation_audience_temperature"], metrics["validation_audience_sharing"]
    )
    assert chosen in VOTES
    assert represent(load_checkpoint(fitted_folder), world).audience_vote == chosen
    assert all(isinstance(value, float) for value in metrics.values())


def test_transfer_plus_without_behaviour_says_what_to_do(tiny: Dataset, tmp_path: Path):
    with pytest.raises(UsageError, match="use --recipe masked-views"):
        fit(request(tmp_path, settings_of("transfer-plus")), without_behaviour(tiny))


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


def test_no_cold_streamer_touches_what_is_learned_and_the_seed_decides(
    tiny: Dataset, tmp_path: Path
):
    config = settings_of("transfer-plus")
    one, other, seeded = (
        fit(request(tmp_path / name, config, seed), data)
        for name, seed, data in (("a", 1, tiny), ("b", 1, plant(tiny)), ("c", 2, tiny))
    )
    assert one.vocabulary == other.vocabulary
    assert_same_weights(one, other)
    assert one.metrics["test_seen_NDCG@20"] != other.metrics["test_seen_NDCG@20"]
    assert not torch.equal(one.tensors["table"], seeded.tensors["table"])


def test_a_set_that_is_read_again_at_every_pass_gives_the_same(
    tiny: Dataset, tiny_world_folder: Path, tmp_path: Path
):
    config = settings_of("transfer-plus")
    one = fit(request(tmp_path / "kept", config), tiny)
    other = fit(request(tmp_path / "read", config), load_dataset(tiny_world_folder, in_memory=39))
    assert one.vocabulary == other.vocabulary
    assert_same_weights(one, other)
    assert one.config == other.config


def call(folder: Path, out: Path, *more: str) -> int:
    given = KERNEL | TAUGHT | {"steps": 4, "evaluate_every": 2, "text_tower": ""}
    options = [part for name, value in given.items() for part in ("--set", f"{name}={value}")]
    arguments = ["--recipe", "transfer-plus", "--data", str(folder), "--out", str(out), *options]
    return main(["fit", *arguments, "--threads", "1", *more])


def test_a_finished_checkpoint_is_not_trained_again(
    tiny_world_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert call(tiny_world_folder, tmp_path / "c") == 0
    before = (tmp_path / "c" / "metrics.json").stat().st_mtime_ns
    capsys.readouterr()
    assert call(tiny_world_folder, tmp_path / "c") == 0
    assert "already trained" in capsys.readouterr().out
    assert call(tiny_world_folder, tmp_path / "c", "--seed", "9") == 1
    error = capsys.readouterr().err
    assert "other seed" in error
    assert "--overwrite" in error
    assert (tmp_path / "c" / "metrics.json").stat().st_mtime_ns == before
    assert call(tiny_world_folder, tmp_path / "c", "--seed", "9", "--overwrite") == 0
    assert json.loads((tmp_path / "c" / "config.json").read_text())["seed"] == 9


def test_an_unfinished_fit_of_other_settings_is_not_mixed_up(tiny: Dataset, tmp_path: Path):
    config = settings_of("masked-views")
    with redirect_stderr(Interrupting("select step 4")), pytest.raises(KeyboardInterrupt):
        fit(request(tmp_path, config, save_every_s=0), tiny)
    with pytest.raises(CheckpointError, match="its training was not finished"):
        load_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="unfinished fit with other settings"):
        fit(request(tmp_path, config, seed=2), tiny)
    fit(request(tmp_path, config, seed=2, overwrite=True), tiny)
    assert Checkpoint.load(tmp_path).config["seed"] == 2


def test_with_private_clicks_only_id_embeddings_are_learned_from(tiny: Dataset, tmp_path: Path):
    config = settings_of("transfer-plus")
    private = replace(config, clicks="private")
    fit(request(tmp_path / "private", private), tiny)
    given = handed_over(tiny, private, seed=1, threads=1)
    assert given.interactions is None
    assert given.id_embeddings is not None
    assert set(given.id_embeddings.ids) <= {tiny.ids[row] for row in tiny.rows("train", "val")}
    fit(request(tmp_path / "given", config), given)
    one, other = (Checkpoint.load(tmp_path / name) for name in ("private", "given"))
    assert_same_weights(one, other)
    assert "test_seen_NDCG@20" not in one.metrics  # audiences are nowhere to be found
    assert one.metrics["validation_NDCG@20"] == other.metrics["validation_NDCG@20"]
    assert handed_over(tiny, config, seed=1, threads=1) is tiny


LEFT_OUT = 10


def later(dataset: Dataset, out: Path, recipe: str = "masked-views", **changes: Any) -> Checkpoint:
    """A fit that may start from an earlier one."""
    earlier = changes.pop("init_from", None)
    config = settings_of(recipe, refit=False, learning_rate=1e-2, **changes)
    return fit(request(out, config, init_from=earlier), dataset)


def without(dataset: Dataset, left_out: int) -> Dataset:
    """The data set before some of its training streamers came."""
    keep = np.setdiff1d(np.arange(len(dataset.ids)), dataset.rows("train")[:left_out])
    assert dataset.interactions is not None
    matrix = sp.csr_matrix(dataset.interactions.matrix)[keep]
    return replace(
        dataset,
        profiles=[dataset.profiles[row] for row in keep],
        ids=[dataset.ids[row] for row in keep],
        split=dataset.split[keep],
        interactions=replace(dataset.interactions, matrix=matrix),
        duplicates=None,
        labels=None,
        digest="yesterday",
    )


@pytest.fixture(scope="module")
def earlier_of(
    all_steps: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, int], Path]:
    """Checkpoints of a recipe, of all_steps's data or of that before some streamers came."""

    @cache
    def made(recipe: str, left_out: int) -> Path:
        folder = tmp_path_factory.mktemp("earlier")
        later(without(all_steps, left_out) if left_out else all_steps, folder, recipe)
        return folder

    return made


@pytest.mark.parametrize("recipe", ["transfer-plus", "masked-views"])
def test_on_the_same_data_it_starts_where_the_earlier_ended(
    all_steps: Dataset, recipe: str, earlier_of: Callable[[str, int], Path], tmp_path: Path
):
    same = earlier_of(recipe, 0)
    later(all_steps, tmp_path, recipe, init_from=same, steps=0)
    one, other = (embed(folder, all_steps.profiles) for folder in (same, tmp_path))
    np.testing.assert_allclose(one, other, atol=1e-3)  # axes are turned by a decomposition


@pytest.mark.parametrize("recipe", ["transfer-plus", "masked-views"])
def test_shared_tokens_keep_their_rows_and_new_ones_get_some(
    all_steps: Dataset, recipe: str, earlier_of: Callable[[str, int], Path], tmp_path: Path
):
    before = earlier_of(recipe, LEFT_OUT)
    earlier = Checkpoint.load(before)
    after = later(all_steps, tmp_path, recipe, init_from=before, steps=0)
    place = {token: i for i, token in enumerate(earlier.vocabulary.tokens, 1)}
    now = [i for i, token in enumerate(after.vocabulary.tokens, 1) if token in place]
    then = [place[after.vocabulary.tokens[i - 1]] for i in now]
    assert 0 < len(now) < len(after.vocabulary.tokens)
    old, table = earlier.tensors["table"].numpy(), after.tensors["table"].numpy()
    np.testing.assert_array_equal(table[now], old[then])
    new = np.setdiff1d(np.arange(1, len(table)), now)
    assert (np.linalg.norm(table[new], axis=1) > 0).all()
    assert not table[0].any()
    for name in ("mlp.3.weight", "mlp.0.bias"):
        assert torch.equal(after.tensors[name], earlier.tensors[name])
    idf = after.tensors["idf"].numpy()
    np.testing.assert_array_equal(idf, after.vocabulary.inverse_document_frequency[: len(idf)])
    assert after.config["init_from"]["recipe"] == recipe


def test_who_was_learned_from_before_is_kept_when_gone(
    all_steps: Dataset, earlier_of: Callable[[str, int], Path], tmp_path: Path
):
    gone = all_steps.ids[all_steps.rows("train")[0]]
    after = later(without(all_steps, 1), tmp_path / "b", init_from=earlier_of("masked-views", 0))
    assert gone in after.learned_from
    assert len(set(after.learned_from)) == len(after.learned_from)
    # Back as a streamer of the test split, it is refused two fits later.
    split = all_steps.split.copy()
    split[all_steps.rows("train")[0]] = "test"
    with pytest.raises(LeakError, match=rf"^{tmp_path / 'b'}: held-out '{gone}' \(test\) was"):
        later(replace(all_steps, split=split), tmp_path / "c", init_from=tmp_path / "b")


def test_what_does_not_fit_is_refused_in_one_line(
    tiny_world_folder: Path,
    earlier_of: Callable[[str, int], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    earlier = earlier_of("masked-views", 0)  # has learned from those whom the folder holds out
    small = ["text_tower=", *(f"{name}={value}" for name, value in SMALL.items())]
    for folder, more, status, message in (
        (earlier, ["--set", "dim=8"], 2, f"--init-from {earlier}: its dim is 16, that of this fit"),
        (earlier, ["--set", "dim=8"], 2, "is 8; fit with --set dim=16"),
        (earlier, ["--recipe", "transfer-plus"], 2, "its recipe is masked-views, and only one"),
        (earlier, ["--out", str(earlier), "--overwrite"], 2, "is --out as well; choose another"),
        (earlier, [], 1, "more was learned from; fit that checkpoint with --set refit=fal"),
        (tmp_path / "none", [], 1, f"--init-from {tmp_path / 'none'} can't be loaded: it is not a"),
    ):
        arguments = ["fit", "--data", str(tiny_world_folder), "--recipe", "masked-views", "--out"]
        arguments += [str(tmp_path / "new"), "--threads", "1", "--init-from", str(folder)]
        arguments += [part for setting in small for part in ("--set", setting)]
        assert main([*arguments, *more]) == status
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1, error


def test_the_rate_rises_in_the_warm_up_and_falls_by_a_cosine():
    settings = Settings.of(settings_of("mlm", steps=12, warm_up=0.25), "select", "fit", 1)
    rates = [settings.schedule(step) for step in range(13)]
    assert rates[:4] == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert all(later < earlier for earlier, later in pairwise(rates[3:]))
    assert rates[12] == pytest.approx(0)
    at_once = Settings.of(settings_of("mlm"), "select", "fit", 1)
    assert at_once.schedule(0) == 1


def test_training_that_diverges_ends_with_the_step_and_the_remedy(tiny: Dataset, tmp_path: Path):
    config = settings_of("kd-feature", learning_rate=1e30)
    with pytest.raises(DivergedError, match=r"_loss is nan at step \d; lower --set learning"):
        fit(request(tmp_path, config), tiny)
