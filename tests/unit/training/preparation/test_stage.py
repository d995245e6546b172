"""How far a teacher is believed that comes from two places: vectors and an audience."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_export.contract.pieces import pieces_of
from tests.unit.training.small import TAUGHT, stage_of
from training.config import TransferPlusConfig
from training.data import Dataset, IdEmbeddings, load_dataset
from training.preparation.stage import Stage, prepare
from training.tasks.transfer_plus import TransferPlus
from training.teachers.id_embeddings import Teacher, audience_directions, find_teacher

CONFIG = TransferPlusConfig(**TAUGHT)


@pytest.fixture(scope="module")
def learned(world: Dataset) -> Teacher:
    return find_teacher(world, world.rows("train"), CONFIG, seed=0, threads=1)


def believed(world: Dataset, vectors: np.ndarray, rows: np.ndarray) -> Stage:
    """A stage whose teacher was handed over, beside the audience of the world."""
    handed = replace(world, id_embeddings=IdEmbeddings([world.ids[r] for r in rows], vectors))
    known = world.rows("train")
    teacher = find_teacher(handed, known, CONFIG, seed=0, threads=1)
    pieces = [pieces_of(profile) for profile in handed.profiles]
    return prepare(handed, pieces, known, teacher, CONFIG, seed=0, threads=1)


@pytest.mark.slow
def test_vectors_that_were_mixed_up_do_not_cast_doubt_on_the_audience(
    world: Dataset, learned: Teacher
):
    mixed = np.roll(learned.vectors, 7, axis=0)
    stage = believed(world, mixed, learned.rows)
    right = believed(world, learned.vectors, learned.rows)
    assert stage.teacher is not None
    assert right.teacher is not None
    of_mixed, of_right = stage.teacher.audience_noise, right.teacher.audience_noise
    assert of_mixed is not None
    assert of_right is not None
    np.testing.assert_array_equal(of_mixed.trust, of_right.trust)
    mixed_task, right_task = (TransferPlus(each, CONFIG, None) for each in (stage, right))
    mixed_pairs, right_pairs = (task._positives.weights for task in (mixed_task, right_task))
    np.testing.assert_array_equal(mixed_pairs.toarray(), right_pairs.toarray())


@pytest.mark.slow
def test_vectors_learned_from_the_audience_are_judged_together_with_it(
    world: Dataset, learned: Teacher
):
    known = world.rows("train")
    pieces = [pieces_of(profile) for profile in world.profiles]
    stage = prepare(world, pieces, known, learned, CONFIG, seed=0, threads=1)
    assert stage.teacher is not None
    assert stage.teacher.audience_noise is None
    assert stage.teacher.behaviour_noise is stage.teacher.noise


def test_directions_of_audiences_are_near_where_users_are_shared(learned: Teacher):
    assert learned.audience is not None
    directions = audience_directions(learned.audience, seed=0)
    assert directions.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, rtol=1e-5)
    shared = (learned.audience @ learned.audience.T).toarray()
    cosine, off = directions @ directions.T, ~np.eye(len(shared), dtype=bool)
    assert cosine[off & (shared >= 8)].mean() > cosine[off & (shared == 0)].mean() + 0.3


def test_an_audience_of_one_user_has_no_direction_but_itself(learned: Teacher):
    assert learned.audience is not None
    alone = learned.audience[:, :1]
    assert not audience_directions(alone, seed=0).any()


@pytest.mark.slow
def test_all_streamers_are_landmarks_or_far_from_all(
    tiny_world_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    world = load_dataset(tiny_world_folder)
    monkeypatch.setattr("training.preparation.stage._DRAWN_LANDMARKS", 20)

    def landmarks(most: int) -> int:
        encoder = stage_of(world, replace(CONFIG, kernel_landmarks=most)).encoder
        assert encoder.kernel is not None
        return len(encoder.kernel.layer.landmarks)

    everyone = landmarks(10_000)
    assert landmarks(everyone) == everyone
    assert landmarks(everyone - 1) == 20
    assert landmarks(10) == 10
