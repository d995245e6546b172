from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from training.models.kernel_layer import KernelLayer, KernelShape
from training.preparation.kernel import PENALTIES, WIDTHS, behaviour_width, fit_kernel
from training.teachers.id_embeddings import Teacher
from training.teachers.label_noise import NoiseEstimate

COUNT, WIDTH, RANK = 60, 12, 6


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def content() -> np.ndarray:
    return unit(np.random.default_rng(0).standard_normal((COUNT, WIDTH)))


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
        if np.abs(unit(exact(content, teacher.directions, width, penalty)) - found).max() < 1e-3:
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
        np.testing.assert_allclose(found[row], unit(wanted[None])[0], atol=2e-3)


def test_few_landmarks_predict_nearly_as_well(content, teacher):
    few, all_of_them = layer(30), layer(COUNT)
    fit_kernel(few, content, teacher, 0)
    fit_kernel(all_of_them, content, teacher, 0)
    new = unit(np.random.default_rng(2).standard_normal((200, WIDTH)))
    agreement = (predicted(few, new) * predicted(all_of_them, new)).sum(1)
    assert np.median(agreement) > 0.9


@pytest.mark.slow
def test_a_doubted_streamer_counts_in_full(content, teacher):
    trust = np.ones(COUNT, np.float32)
    trust[::3] = 0
    noise = NoiseEstimate(teacher.directions, trust, np.zeros_like(teacher.directions))
    doubted, believed = layer(COUNT), layer(COUNT)
    fit_kernel(doubted, content, replace(teacher, noise=noise), 0)
    fit_kernel(believed, content, teacher, 0)
    torch.testing.assert_close(doubted.dual, believed.dual)


def test_streamers_that_show_the_same_are_no_obstacle(content, teacher):
    content = content.copy()
    content[10:20] = content[0]
    fitted = layer(COUNT)
    assert np.isfinite(fit_kernel(fitted, content, teacher, 0)).all()
    assert np.isfinite(predicted(fitted, content)).all()


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
