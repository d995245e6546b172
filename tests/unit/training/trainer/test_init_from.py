"""A fit that starts from yesterday's encoder: what is carried over, and what is refused."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from model_export.contract.vocabulary import Vocabulary
from tests.unit.training.small import SMALL, TAUGHT
from tests.unit.training.tracking.recorded import story
from training.api import embed
from training.commands.cli import main
from training.config import RecipeConfig, TeacherConfig
from training.data import Dataset, load_dataset
from training.errors import CheckpointError, LeakError, UsageError
from training.models.checkpoint import Checkpoint
from training.tasks.recipes import RECIPES
from training.trainer import loop
from training.trainer.fit import Request, already_trained, fit
from training.trainer.init_from import linear_map, shared_tokens

STEPS: dict[str, Any] = {
    "steps": 6, "evaluate_every": 3, "refit": False, "learning_rate": 1e-2, "text_tower": ""
}  # fmt: skip
LEFT_OUT = 10


def config_of(recipe: str, **changes: Any) -> RecipeConfig:
    made = RECIPES[recipe].config
    widths = TAUGHT if issubclass(made, TeacherConfig) else SMALL
    return made(**{**widths, **STEPS, **changes})


def fitted(dataset: Dataset, out: Path, recipe: str = "masked-views", **changes: Any) -> Checkpoint:
    earlier = changes.pop("init_from", None)
    config = config_of(recipe, **changes)
    return fit(Request(recipe, config, 1, 1, out, init_from=earlier), dataset)


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
def today(tiny_world_folder: Path) -> Dataset:
    """A world with nobody to validate on, so that all steps are made."""
    world = load_dataset(tiny_world_folder)
    return replace(world, split=np.where(world.split == "val", "train", world.split))


@pytest.fixture(scope="module", params=["transfer-plus", "masked-views"])
def recipe(request: pytest.FixtureRequest) -> str:
    """Recipes with all kinds of parameters."""
    return request.param


@pytest.fixture(scope="module")
def earlier_of(
    today: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, int], Path]:
    """Checkpoints of a recipe, of today's data or of that before some streamers came."""

    @cache
    def made(recipe: str, left_out: int) -> Path:
        folder = tmp_path_factory.mktemp("earlier")
        checkpoint = fitted(without(today, left_out) if left_out else today, folder, recipe)
        assert checkpoint.metrics["validation_step"] == STEPS["steps"]
        return folder

    return made


@pytest.fixture
def same(earlier_of: Callable[[str, int], Path], recipe: str) -> Path:
    """A checkpoint of the recipe, of the same data."""
    return earlier_of(recipe, 0)


@pytest.fixture
def before(earlier_of: Callable[[str, int], Path], recipe: str) -> Path:
    """A checkpoint of the recipe, of the data before some streamers came."""
    return earlier_of(recipe, LEFT_OUT)


@pytest.fixture
def masked_views(earlier_of: Callable[[str, int], Path]) -> Path:
    """A checkpoint of masked views, of the same data."""
    return earlier_of("masked-views", 0)


def test_the_map_is_the_one_that_was_used():
    rng = np.random.default_rng(0)
    start, used = rng.standard_normal((400, 8)), rng.standard_normal((8, 5))
    found = linear_map(start.astype(np.float32), (start @ used).astype(np.float32))
    np.testing.assert_allclose(1.1 * found, used, atol=0.1)  # a penalty of 0.1 shrinks it


def test_the_map_of_few_rows_is_finite():
    found = linear_map(np.ones((1, 8), np.float32), np.ones((1, 5), np.float32))
    assert np.isfinite(found).all()
    assert not linear_map(np.zeros((3, 8), np.float32), np.ones((3, 5), np.float32)).any()


def test_shared_tokens_have_an_id_in_each_vocabulary():
    then, now = (Vocabulary(list(words), [1] * len(words), 1) for words in ("abc", "cxa"))
    earlier, later = shared_tokens(then, now)
    assert (earlier.tolist(), later.tolist()) == ([3, 1], [1, 3])


@pytest.mark.slow
def test_on_the_same_data_it_starts_where_the_earlier_ended(
    today: Dataset, recipe: str, same: Path, tmp_path: Path
):
    fitted(today, tmp_path, recipe, init_from=same, steps=0)
    one, other = (embed(folder, today.profiles) for folder in (same, tmp_path))
    np.testing.assert_allclose(one, other, atol=1e-3)  # axes are turned by a decomposition


@pytest.mark.slow
def test_other_axes_of_behaviour_are_turned_to_the_earlier_ones(
    today: Dataset, recipe: str, same: Path, tmp_path: Path
):
    """Another seed starts every decomposition elsewhere, and with the users in another order."""
    assert today.interactions is not None
    matrix = sp.csr_matrix(today.interactions.matrix)
    order = np.random.default_rng(0).permutation(matrix.get_shape()[1])
    turned = replace(today.interactions, matrix=matrix[:, order])
    wanted = Request(recipe, config_of(recipe, steps=0), 5, 1, tmp_path, init_from=same)
    fit(wanted, replace(today, interactions=turned))
    one, other = (embed(folder, today.profiles) for folder in (same, tmp_path))
    assert np.median((one * other).sum(1)) > 0.95


@pytest.mark.slow
def test_shared_tokens_keep_their_rows_and_new_ones_get_some(
    today: Dataset, recipe: str, before: Path, tmp_path: Path
):
    earlier = Checkpoint.load(before)
    later = fitted(today, tmp_path, recipe, init_from=before, steps=0)
    then, now = shared_tokens(earlier.vocabulary, later.vocabulary)
    assert 0 < len(now) < len(later.vocabulary.tokens)
    old, table = earlier.tensors["table"].numpy(), later.tensors["table"].numpy()
    np.testing.assert_array_equal(table[now], old[then])
    new = np.setdiff1d(np.arange(1, len(table)), now)
    assert (np.linalg.norm(table[new], axis=1) > 0).all()
    assert not table[0].any()
    for name in ("mlp.3.weight", "mlp.0.bias"):
        assert torch.equal(later.tensors[name], earlier.tensors[name])
    idf = later.tensors["idf"].numpy()
    np.testing.assert_array_equal(idf, later.vocabulary.inverse_document_frequency[: len(idf)])
    assert later.config["init_from"]["recipe"] == recipe


@pytest.mark.slow
def test_stopped_in_the_refit_it_goes_on_to_the_same_result(
    today: Dataset,
    earlier_of: Callable[[str, int], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    earlier = earlier_of("masked-views", LEFT_OUT)
    config = config_of("masked-views", refit=True)
    whole, stopped = (
        Request("masked-views", config, 1, 1, tmp_path / name, save_every_s=0, init_from=earlier)
        for name in ("whole", "stopped")
    )
    made, update = 0, loop.update

    def update_and_copy(*args: Any) -> dict[str, float]:
        nonlocal made
        made += 1
        if made == 11:  # of six and six; the state was kept after ten
            shutil.copytree(whole.out, stopped.out)  # what a kill would leave on disk
        return update(*args)

    monkeypatch.setattr(loop, "update", update_and_copy)
    fit(whole, today)
    fit(stopped, today)
    assert made == 14  # the last two twice
    one, other = Checkpoint.load(stopped.out), Checkpoint.load(whole.out)
    assert one.config == other.config
    assert all(torch.equal(one.tensors[name], other.tensors[name]) for name in other.tensors)
    assert story(stopped.out) == story(whole.out)


@pytest.mark.slow
def test_who_was_learned_from_before_is_kept_when_gone(
    today: Dataset, masked_views: Path, tmp_path: Path
):
    gone = today.ids[today.rows("train")[0]]
    later = fitted(without(today, 1), tmp_path / "b", init_from=masked_views)
    assert gone in later.learned_from
    assert len(set(later.learned_from)) == len(later.learned_from)
    # Back as a streamer of the test split, it is refused two fits later.
    split = today.split.copy()
    split[today.rows("train")[0]] = "test"
    with pytest.raises(LeakError, match=rf"^{tmp_path / 'b'}: held-out '{gone}' \(test\) was"):
        fitted(replace(today, split=split), tmp_path / "c", init_from=tmp_path / "b")


@pytest.mark.slow
def test_what_does_not_fit_is_refused_in_one_line(
    tiny_world_folder: Path,
    masked_views: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    earlier = masked_views  # has learned from those whom the folder holds out
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


@pytest.mark.slow
def test_an_encoder_of_another_shape_is_told(today: Dataset, masked_views: Path, tmp_path: Path):
    earlier = Checkpoint.load(masked_views)
    tensors = {**earlier.tensors, "mlp.3.bias": torch.zeros(3)}
    replace(earlier, tensors=tensors).save(tmp_path / "b")
    with pytest.raises(UsageError, match=r"b: its encoder has another mlp\.3\.bias; fit the ear"):
        fitted(today, tmp_path / "c", init_from=tmp_path / "b")


@pytest.mark.slow
def test_a_finished_fit_is_not_taken_for_one_that_started_elsewhere(
    today: Dataset, earlier_of: Callable[[str, int], Path], tmp_path: Path
):
    one, other = (earlier_of("masked-views", left_out) for left_out in (0, LEFT_OUT))
    fitted(today, tmp_path, init_from=one, steps=0)
    config = config_of("masked-views", steps=0)
    for earlier in (other, None):
        wanted = Request("masked-views", config, 1, 1, tmp_path, init_from=earlier)
        with pytest.raises(CheckpointError, match="finished checkpoint with other init_from"):
            already_trained(wanted, today)
    assert already_trained(Request("masked-views", config, 1, 1, tmp_path, init_from=one), today)
