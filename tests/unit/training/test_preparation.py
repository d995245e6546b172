"""What is prepared before a fit: neighbours, kernel ridge, teachers, doubts, and no leaks."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from model_export.contract.pieces import pieces_of
from tests.unit.training.helpers import TAUGHT
from training.config import TransferPlusConfig
from training.data import Dataset, IdEmbeddings, load_dataset
from training.errors import LeakError, UsageError
from training.features.vocabulary import build_vocabulary
from training.models.checkpoint import Checkpoint, is_finished
from training.models.kernel_layer import KernelLayer, KernelShape
from training.numeric import nearest as module
from training.numeric.nearest import RECALL_DEPTH, nearest
from training.numeric.sparse import sparse_top_k
from training.numeric.topk import EXCLUDED, nearest_others, top_k
from training.preparation.kernel import PENALTIES, WIDTHS, behaviour_width, fit_kernel
from training.preparation.leaks import check_known, check_learned, check_stage, check_teacher
from training.preparation.stage import Stage, prepare
from training.teachers.id_embeddings import (
    Teacher,
    audience_of,
    find_teacher,
    swapped,
)
from training.teachers.label_noise import estimate_noise
from training.trainer.fit import Request, fit


def normalised(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Of 40 clusters."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((40, 32))[rng.integers(0, 40, 4000)]
    return normalised(centres + 0.5 * rng.standard_normal((4000, 32)))


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(found, exact, strict=True)]))


def test_very_many_are_searched_by_faiss_with_nearly_the_same_neighbours(
    vectors: np.ndarray, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "EXACT_UP_TO", 1000)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    exact = np.argsort(-cosines, axis=1, kind="stable")[:, :RECALL_DEPTH]
    with caplog.at_level(logging.INFO, "training"):
        near, values = nearest(vectors, RECALL_DEPTH)
    assert near.shape == values.shape == (4000, RECALL_DEPTH)
    assert not (near == np.arange(4000)[:, None]).any()
    assert (np.diff(values, axis=1) <= 1e-3).all()
    np.testing.assert_allclose(values, np.take_along_axis(cosines, near, 1), atol=1e-3)
    found = recall(near, exact)
    assert 0.95 <= found < 1, "of an exact search nothing is learned here"
    (line,) = [r.getMessage() for r in caplog.records if "FAISS" in r.getMessage()]
    measured = float(line.split("recall@20 ")[1].split()[0])
    assert measured == pytest.approx(found, abs=0.03)
    assert "4000 vectors" in line


SHARES = (0.0, 0.02, 0.2, 0.9)


def matrix(rows: int, columns: int, share: float) -> np.ndarray:
    """Few distinct values, so that many are equal."""
    rng = np.random.default_rng(0)
    values = rng.integers(1, 5, (rows, columns)).astype(np.float32)
    return np.where(rng.random((rows, columns)) < share, values, 0).astype(np.float32)


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("count", [0, 7, 50])
def test_like_the_dense_one_also_where_scores_are_equal(share: float, count: int):
    dense = matrix(40, 30, share)
    near, scores = sparse_top_k(sp.csr_matrix(dense), count)
    expected = top_k(dense, count)
    np.testing.assert_array_equal(near, expected[0])
    np.testing.assert_array_equal(scores, expected[1])


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("count", [1, 29])
def test_others_and_able_ones_come_first_like_in_the_dense_one(share: float, count: int):
    dense = matrix(30, 30, share)
    able = np.random.default_rng(1).random(30) < 0.6
    near, scores = sparse_top_k(sp.csr_matrix(dense), count, able, np.arange(30))
    expected = nearest_others(lambda part: dense[part].copy(), 30, count, able)
    np.testing.assert_array_equal(near, expected[0])
    np.testing.assert_array_equal(scores, np.where(expected[1] == EXCLUDED, 0, expected[1]))


COUNT, WIDTH, RANK = 60, 12, 6


@pytest.fixture(scope="module")
def content() -> np.ndarray:
    return normalised(np.random.default_rng(0).standard_normal((COUNT, WIDTH)))


@pytest.fixture(scope="module")
def teacher(content: np.ndarray) -> Teacher:
    rng = np.random.default_rng(1)
    vectors = np.tanh(content @ rng.standard_normal((WIDTH, RANK)))
    vectors += 0.1 * rng.standard_normal(vectors.shape)
    return Teacher("given", np.arange(COUNT), vectors.astype(np.float32), None)


def layer(landmarks: int) -> KernelLayer:
    return KernelLayer(5, 4, [], KernelShape(landmarks, RANK, WIDTH - 4))


def predicted(fitted: KernelLayer, content: np.ndarray) -> np.ndarray:
    return fitted(torch.from_numpy(content)).numpy()


def exact(content: np.ndarray, behaviour: np.ndarray, width: float, penalty: float) -> np.ndarray:
    kernel = np.exp(width * (content.astype(np.float64) @ content.T - 1))
    return kernel @ np.linalg.solve(kernel + penalty * np.eye(len(kernel)), behaviour)


def settings_of(fitted: KernelLayer, content: np.ndarray, teacher: Teacher) -> tuple[float, float]:
    """Width and penalty with which exact kernel ridge predicts what the layer does."""
    width, found = float(fitted.width), predicted(fitted, content)
    for penalty in PENALTIES:
        if (
            np.abs(normalised(exact(content, teacher.directions, width, penalty)) - found).max()
            < 1e-3
        ):
            return width, penalty
    raise AssertionError("no penalty explains the layer's predictions")


def test_with_everyone_as_landmark_it_is_exact_kernel_ridge(content, teacher):
    fitted = layer(COUNT)
    fit_kernel(fitted, content, teacher, 0)
    width, penalty = settings_of(fitted, content, teacher)
    assert width in WIDTHS
    assert penalty in PENALTIES


def test_left_out_predictions_are_those_of_fits_without_the_streamer(content, teacher):
    fitted = layer(COUNT)
    found = fit_kernel(fitted, content, teacher, 0)
    width, penalty = settings_of(fitted, content, teacher)
    kernel = np.exp(width * (content.astype(np.float64) @ content.T - 1))
    for row in range(0, COUNT, 7):
        others = np.delete(np.arange(COUNT), row)
        inner = kernel[np.ix_(others, others)] + penalty * np.eye(len(others))
        wanted = kernel[row, others] @ np.linalg.solve(inner, teacher.directions[others])
        np.testing.assert_allclose(found[row], normalised(wanted[None])[0], atol=2e-3)


def test_audiences_are_predicted_if_they_are_known(content, teacher):
    rng = np.random.default_rng(3)
    taste = rng.standard_normal((WIDTH, 40))
    audience = sp.csr_matrix((content @ taste > 0.3).astype(np.float32))
    watched = replace(teacher, audience=audience)
    assert behaviour_width(watched, 8) == 8
    assert behaviour_width(watched, 500) == 39
    assert behaviour_width(teacher, 8) == RANK
    fitted = KernelLayer(5, 4, [], KernelShape(COUNT, 8, WIDTH - 4))
    left_out = fit_kernel(fitted, content, watched, 0)
    shared = (audience @ audience.T).toarray() / audience.sum(1).clip(1)
    np.fill_diagonal(shared, 0)
    alike = left_out @ predicted(fitted, content).T
    np.fill_diagonal(alike, 0)
    assert np.corrcoef(np.asarray(shared).ravel(), alike.ravel())[0, 1] > 0.5


CONFIG = TransferPlusConfig(**TAUGHT)


@pytest.fixture(scope="module")
def learned(world: Dataset) -> Teacher:
    return find_teacher(world, world.rows("train"), CONFIG, seed=0, threads=1)


CONFIG = TransferPlusConfig(**TAUGHT, steps=2, evaluate_every=1)


@dataclass(frozen=True, eq=False)
class Doctored(Dataset):
    """Hands out one streamer of the test split with each other split."""

    def rows(self, *splits: str) -> np.ndarray:
        planted = [] if "test" in splits else [np.flatnonzero(self.split == "test")[0]]
        return np.sort(np.append(super().rows(*splits), planted).astype(np.int64))


def request(out: Path) -> Request:
    return Request("transfer-plus", CONFIG, 0, threads=1, out=out)


def stage_for(world: Dataset, known: np.ndarray, teacher: Teacher | None = None) -> Stage:
    pieces = [pieces_of(profile) for profile in world.profiles]
    return prepare(world, pieces, known, teacher, CONFIG, 0, 1)


def test_a_planted_row_fails_the_fit(world: Dataset, tmp_path: Path):
    with pytest.raises(LeakError, match=r"held-out '.+' \(test\) would be learned from; only"):
        fit(request(tmp_path / "c"), Doctored(**vars(world)))
    assert not is_finished(tmp_path / "c")


def test_a_vocabulary_of_everybody_is_told(world: Dataset):
    stage = stage_for(world, world.rows("train"))
    everybody = replace(stage, vocabulary=build_vocabulary(stage.pieces))
    check_stage(stage, ("train",))
    with pytest.raises(LeakError, match=r"the vocabulary counted '.+' in \d+ streamers, of which"):
        check_stage(everybody, ("train",))


def test_val_must_not_be_learned_from_while_it_chooses(world: Dataset):
    known = world.rows("train", "val")
    check_known(world, known, ("train", "val"))
    with pytest.raises(LeakError, match=r"\(val\) and \d+ more would be learned from; only train "):
        check_known(world, known, ("train",))


def test_the_teacher_of_the_known_passes(world: Dataset):
    known = world.rows("train")
    check_teacher(world, known, find_teacher(world, known, CONFIG, 0, 1))


def test_a_checkpoint_says_whom_it_learned_from(tiny_world_folder: Path, tmp_path: Path):
    world = load_dataset(tiny_world_folder)
    fit(request(tmp_path / "c"), world)
    learned = Checkpoint.load(tmp_path / "c").learned_from
    assert learned == [world.ids[row] for row in world.rows("train", "val")]
    check_learned(learned, world, world.rows("test"))
    with pytest.raises(LeakError, match=r"'.+' \(val\), .+ more was learned from"):
        check_learned(learned, world, world.rows("val"))


def with_relations(world: Dataset, pairs: list[tuple[int, int]]) -> Dataset:
    n = len(world.ids)
    matrix = sp.lil_matrix((n, n), dtype=np.float32)
    for a, b in pairs:
        matrix[a, b] = matrix[b, a] = 3
    return replace(world, relations=sp.csr_matrix(matrix.tocsr()), interactions=None)


def given(world: Dataset, rows: np.ndarray) -> Dataset:
    vectors = np.random.default_rng(0).standard_normal((len(rows), 6)).astype(np.float32)
    return replace(world, id_embeddings=IdEmbeddings([world.ids[r] for r in rows], vectors))


def test_those_who_share_an_audience_are_near(world: Dataset):
    known = world.rows("train")
    teacher = find_teacher(world, known, CONFIG, seed=0, threads=1)
    audience = teacher.audience
    assert audience is not None
    shared = (audience @ audience.T).toarray()
    cosine = teacher.directions @ teacher.directions.T
    off = ~np.eye(len(shared), dtype=bool)
    assert cosine[off & (shared >= 8)].mean() > cosine[off & (shared == 0)].mean() + 0.3


def test_only_known_streamers_with_an_audience_are_in_it(world: Dataset):
    known = world.rows("train")
    assert world.interactions is not None
    watched = np.diff(world.interactions.matrix.indptr) > 0
    teacher, same, other = (find_teacher(world, known, CONFIG, seed, 1) for seed in (0, 0, 1))
    assert teacher.rows.tolist() == [row for row in known if watched[row]]
    assert teacher.vectors.shape == (len(teacher.rows), 8)
    np.testing.assert_array_equal(teacher.vectors, same.vectors)
    assert not np.array_equal(teacher.vectors, other.vectors)
    noisy = find_teacher(world, known, replace(CONFIG, teacher_noise=0.5), 0, 1)
    assert (noisy.vectors != teacher.vectors).any(1).sum() == round(0.5 * len(teacher.rows))


def test_a_relation_is_an_audience_both_ways(world: Dataset):
    a, b, c = world.rows("train")[:3]
    related = with_relations(world, [(a, b), (b, c)])
    audience = audience_of(related, related.rows("train"))
    assert audience is not None
    place = {row: i for i, row in enumerate(related.rows("train"))}
    assert audience[a].indices.tolist() == [place[b]]
    assert sorted(audience[b].indices) == sorted([place[a], place[c]])
    assert set(audience.data) == {1.0}


def test_a_cold_streamer_is_nobody_s_audience(world: Dataset):
    a, b = world.rows("train")[:2]
    cold = int(world.rows("test")[0])
    related = with_relations(world, [(a, b), (a, cold), (b, cold)])
    audience = audience_of(related, related.rows("train"))
    assert audience is not None
    assert audience.shape == (len(world.ids), len(world.rows("train")))
    assert audience[a].nnz == audience[b].nnz == 1
    assert audience[cold].nnz == 2  # the evaluation may know whom it is related to


def test_given_id_embeddings_are_taken_as_they_are(world: Dataset):
    known = world.rows("train")
    handed = given(world, np.concatenate([known[::2], world.rows("test")]))
    teacher = find_teacher(handed, known, CONFIG, seed=0, threads=1)
    assert teacher.space == "id_embeddings"
    assert teacher.rows.tolist() == known[::2].tolist()
    assert handed.id_embeddings is not None
    np.testing.assert_array_equal(teacher.vectors, handed.id_embeddings.vectors[: len(known[::2])])


def test_id_embeddings_of_cold_streamers_only_teach_nothing(world: Dataset):
    with pytest.raises(UsageError, match="fewer than two training streamers"):
        find_teacher(given(world, world.rows("test")), world.rows("train"), CONFIG, 0, 1)


@pytest.mark.parametrize("audience", [None, 0, 1])
def test_an_audience_of_too_few_says_what_to_do(world: Dataset, audience: int | None):
    """None at all, of no training streamer, as a file without a line gives, or of one."""
    assert world.interactions is not None
    known, matrix = world.rows("train"), world.interactions.matrix.tolil(copy=True)
    matrix[known[audience or 0 :]] = 0
    few = replace(world.interactions, matrix=sp.csr_matrix(matrix.tocsr()))
    data = replace(world, interactions=None if audience is None else few)
    with pytest.raises(UsageError, match=r"masked-views"):
        find_teacher(data, known, CONFIG, seed=0, threads=1)


def numbered(n: int) -> Teacher:
    """Streamer i has the vector (i, i) and user i alone."""
    vectors = np.repeat(np.arange(n, dtype=np.float32)[:, None], 2, axis=1)
    watched = sp.csr_matrix(np.eye(n, dtype=np.float32))
    return Teacher("numbers", np.arange(n), vectors, watched)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_noise_swaps_exactly_the_share_and_nobody_drawn_keeps_its_own(share: float):
    clean = numbered(40)
    noisy = swapped(clean, share, np.random.default_rng(3))
    owner = noisy.vectors[:, 0].astype(int)
    assert (owner != np.arange(40)).sum() == round(share * 40)
    assert sorted(owner) == list(range(40))
    assert noisy.audience is not None
    assert noisy.audience.indices.tolist() == owner.tolist()  # its audience goes with it
    assert noisy.rows is clean.rows


def judged_pair(seed: int, rows: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Content (N, 8), and unit vectors (N, 6) that follow from it, with noise."""
    rng = np.random.default_rng(seed)
    content = rng.standard_normal((rows, 8)).astype(np.float32)
    vectors = content @ rng.standard_normal((8, 6)) + 0.5 * rng.standard_normal((rows, 6))
    return content, (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_vectors_of_others_are_told_and_predicted_near_their_own():
    content, own = judged_pair(8)
    assert estimate_noise(content, own, seed=0).trust.mean() > 0.95
    vectors = own.copy()
    wrong = np.random.default_rng(2).permutation(len(vectors))[: len(vectors) // 2]
    vectors[wrong] = own[np.roll(wrong, 1)]
    found, again = (estimate_noise(content, vectors, seed=0) for _ in range(2))
    np.testing.assert_array_equal(found.trust, again.trust)
    assert ((found.trust >= 0) & (found.trust <= 1)).all()
    is_wrong = np.isin(np.arange(len(vectors)), wrong)
    assert found.trust[~is_wrong].mean() > 0.85
    assert found.trust[is_wrong].mean() < 0.25
    np.testing.assert_allclose(np.linalg.norm(found.predicted, axis=1), 1, rtol=1e-5)
    assert (found.predicted[wrong] * own[wrong]).sum(1).mean() > 0.8
    assert abs((found.predicted[wrong] * vectors[wrong]).sum(1).mean()) < 0.2


@pytest.mark.parametrize("rows", [9, 30, 600])
def test_too_few_or_content_that_says_nothing_is_no_judge(rows: int):
    content, _ = judged_pair(3, rows)
    _, vectors = judged_pair(4, rows)
    assert (estimate_noise(content, vectors, seed=0).trust == 1).all()
