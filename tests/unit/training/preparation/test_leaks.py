"""A streamer that is held out is planted in what a fit learns from: the run must fail."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import training.teachers.id_embeddings
import training.trainer.fit
from model_export.contract.pieces import pieces_of
from training.baselines import Corpus
from training.config import MaskedViewsConfig, TransferPlusConfig
from training.data import Dataset, load_dataset
from training.errors import LeakError
from training.features.vocabulary import build_vocabulary
from training.models.checkpoint import Checkpoint, is_finished
from training.preparation.leaks import check_known, check_learned, check_stage, check_teacher
from training.preparation.stage import Stage, prepare
from training.teachers.id_embeddings import Teacher, audience_of, find_teacher
from training.trainer.fit import Request, fit

WIDTHS: dict[str, Any] = {"table_dim": 16, "dim": 8, "hidden_dim": 16, "batch_size": 32}
CONFIG = TransferPlusConfig(**WIDTHS, steps=2, evaluate_every=1, teacher_dim=8)


@dataclass(frozen=True, eq=False)
class Doctored(Dataset):
    """Hands out one streamer of the test split with each other split."""

    def rows(self, *splits: str) -> np.ndarray:
        planted = [] if "test" in splits else [np.flatnonzero(self.split == "test")[0]]
        return np.sort(np.append(super().rows(*splits), planted).astype(np.int64))


def doctored(world: Dataset) -> Dataset:
    return Doctored(**vars(world))


def request(out: Path) -> Request:
    return Request("transfer-plus", CONFIG, 0, threads=1, out=out)


def related(world: Dataset) -> Dataset:
    """The world with relations in place of interactions."""
    audience = audience_of(world, world.rows("train", "val", "test"))
    assert audience is not None
    shared = sp.csr_matrix(audience @ audience.T)
    shared.setdiag(0)
    shared.data[:] = shared.data >= 2
    shared.eliminate_zeros()
    return replace(world, interactions=None, relations=sp.csr_matrix(shared, dtype=np.float32))


def stage_of(world: Dataset, known: np.ndarray, teacher: Teacher | None = None) -> Stage:
    pieces = [pieces_of(profile) for profile in world.profiles]
    return prepare(world, pieces, known, teacher, CONFIG, 0, 1)


def test_a_planted_row_fails_the_fit(world: Dataset, tmp_path: Path):
    with pytest.raises(
        LeakError, match=r"held-out '.+' \(test\) would be learned from; only train"
    ):
        fit(request(tmp_path / "c"), doctored(world))
    assert not is_finished(tmp_path / "c")


def test_a_planted_row_fails_a_fit_without_behaviour_as_well(world: Dataset, tmp_path: Path):
    config = MaskedViewsConfig(**WIDTHS, steps=2, evaluate_every=1)
    with pytest.raises(LeakError, match="would be learned from"):
        fit(Request("masked-views", config, 0, threads=1, out=tmp_path / "c"), doctored(world))


@pytest.mark.slow
def test_a_planted_streamer_of_the_teacher_fails_the_fit(
    world: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def careless(dataset: Dataset, known: np.ndarray, *rest) -> Teacher:
        return find_teacher(dataset, np.sort(np.append(known, dataset.rows("test")[:1])), *rest)

    monkeypatch.setattr(training.trainer.fit, "find_teacher", careless)
    with pytest.raises(LeakError, match=r"\(test\) would be in the teacher"):
        fit(request(tmp_path / "c"), world)


@pytest.mark.slow
def test_a_planted_user_of_relations_fails_the_fit(
    world: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def careless(dataset: Dataset, known: np.ndarray) -> sp.csr_matrix | None:
        return audience_of(dataset, np.arange(len(dataset.ids)))

    monkeypatch.setattr(training.teachers.id_embeddings, "audience_of", careless)
    with pytest.raises(LeakError, match="the teacher has audiences with others than"):
        fit(request(tmp_path / "c"), related(world))


def test_a_vocabulary_of_everybody_is_told(world: Dataset):
    stage = stage_of(world, world.rows("train"))
    everybody = replace(stage, vocabulary=build_vocabulary(stage.pieces))
    check_stage(stage, ("train",))
    with pytest.raises(LeakError, match=r"the vocabulary counted '.+' in \d+ streamers, of which"):
        check_stage(everybody, ("train",))


def test_as_many_others_are_told_from_the_known(world: Dataset):
    """Counts would be equal: a held-out streamer takes the place of a known one."""
    stage = stage_of(world, world.rows("train"))
    others = np.sort(np.append(stage.known[1:], world.rows("test")[:1]))
    vocabulary = build_vocabulary([stage.pieces[row] for row in others])
    assert vocabulary.documents == len(stage.known)
    with pytest.raises(LeakError, match=r"the vocabulary counted '.+' in \d+ streamers, of which"):
        check_stage(replace(stage, vocabulary=vocabulary), ("train",))

    data = related(world)
    known = data.rows("train")
    teacher = find_teacher(data, known, CONFIG, 0, 1)
    audience = audience_of(data, others)
    assert audience is not None
    planted = replace(teacher, audience=audience[teacher.rows])
    with pytest.raises(LeakError, match="the teacher has audiences with others than"):
        check_teacher(data, known, planted)


def test_audiences_that_label_noise_swapped_pass(world: Dataset):
    data = related(world)
    known = data.rows("train")
    noisy = replace(CONFIG, teacher_noise=0.5)
    check_teacher(data, known, find_teacher(data, known, noisy, 0, 1))


def test_val_must_not_be_learned_from_while_it_chooses(world: Dataset):
    known = world.rows("train", "val")
    check_known(world, known, ("train", "val"))
    with pytest.raises(LeakError, match=r"\(val\) and \d+ more would be learned from; only train "):
        check_known(world, known, ("train",))


def test_the_teacher_of_the_known_passes(world: Dataset):
    for data in (world, related(world)):
        known = data.rows("train")
        check_teacher(data, known, find_teacher(data, known, CONFIG, 0, 1))


def test_a_baseline_is_checked_as_well(world: Dataset):
    with pytest.raises(LeakError, match="would be learned from"):
        Corpus(world, [], np.arange(len(world.ids)), 0)


@pytest.mark.slow
def test_a_checkpoint_says_whom_it_learned_from(tiny_world_folder: Path, tmp_path: Path):
    world = load_dataset(tiny_world_folder)
    fit(request(tmp_path / "c"), world)
    learned = Checkpoint.load(tmp_path / "c").learned_from
    assert learned == [world.ids[row] for row in world.rows("train", "val")]
    check_learned(learned, world, world.rows("test"))
    with pytest.raises(LeakError, match=r"'.+' \(val\), .+ more was learned from"):
        check_learned(learned, world, world.rows("val"))
