"""Fit of the encoder's kernel layer, with every prediction as if its streamer were new."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, eigh, get_lapack_funcs, solve_triangular
from sklearn.preprocessing import normalize

from training.evaluation.tasks import ColdStartTask, cold_start_task, vector_task
from training.models.kernel_layer import KernelLayer
from training.numeric.blocks import blocks
from training.teachers.id_embeddings import Teacher, audience_directions, audience_rank

WIDTHS = (2.0, 4.0)
PENALTIES = (0.1, 0.3, 1.0)
_JITTER = 1e-4
"""Added to the diagonal of the landmarks' kernel, which is singular if two show the same."""
_MOST_ASKED, _MOST_SEARCHED = 1_000, 20_000
"""Most queries, and streamers searched, when width and penalty are chosen."""
_LEAST_FREE = 1e-3
"""Least share of a prediction that does not come from the streamer's own behaviour."""


_Fit = tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]
"""Coefficients (M, K), and unit predictions of the streamers as fitted and left out (N, K)."""


@dataclass(frozen=True, eq=False)
class _Choice:
    """A fitted kernel: its settings, coefficients (M, K) and predictions left out (N, K)."""

    score: float
    width: float
    dual: NDArray[np.float64]
    left_out: NDArray[np.float32]


def behaviour_width(teacher: Teacher, rank: int) -> int:
    """Width K of the behaviour that a kernel layer predicts."""
    if teacher.audience is None:
        return teacher.vectors.shape[1]
    return audience_rank(teacher.audience, rank)


def fit_kernel(
    layer: KernelLayer, content: NDArray[np.float32], teacher: Teacher, seed: int
) -> NDArray[np.float32]:
    """Fit the layer to N streamers; width and penalty are chosen by leaving each of them out.

    Behaviour is the leading singular vectors of the normalised audiences, or the ID-embeddings if
    audiences are unknown. A streamer that is left out searches all others, as they are learned from
    and as if they were new too; the best mean NDCG@20 of both wins. Leaving out has a closed form:
    the prediction without the streamer's own behaviour v is (f - h v) / (1 - h), where h is its own
    influence. The axes of behaviour and the landmarks are still those of everyone. Streamers that
    the teacher doubts count in full: the penalty answers for wrong labels, and where content tells
    little of behaviour many are doubted that are right.

    Args:
        layer: to be fitted, of M landmarks.
        content: `KernelLayer.content` of the streamers (N, G).
        teacher: of these N streamers.
        seed: draws the landmarks.

    Returns:
        Unit predictions of the streamers, each left out (N, K).
    """
    count, rng = len(content), np.random.default_rng(seed)
    landmarks = np.sort(rng.permutation(count)[: len(layer.landmarks)])
    directions = teacher.directions
    if teacher.audience is not None:
        directions = audience_directions(teacher.audience, seed, layer.dual.shape[1])
    behaviour = np.zeros((count, layer.dual.shape[1]), np.float32)
    behaviour[:, : directions.shape[1]] = directions  # some of all streamers may have fewer axes
    task = _task(behaviour, teacher.audience, rng)
    best: _Choice | None = None
    for width in WIDTHS:
        for choice in _choices(content, landmarks, behaviour, width, task):
            if best is None or choice.score > best.score:
                best = choice
    assert best is not None
    with torch.no_grad():
        layer.landmarks.copy_(torch.from_numpy(content[landmarks]))
        layer.dual.copy_(torch.from_numpy(best.dual))
        layer.width.fill_(best.width)
    return best.left_out


def _choices(
    content: NDArray[np.float32],
    landmarks: NDArray[np.int64],
    behaviour: NDArray[np.float32],
    width: float,
    task: ColdStartTask,
) -> Iterator[_Choice]:
    """Fits of one width, one of each penalty."""
    if len(landmarks) == len(content):
        fits = _exact_fits(content, behaviour, width)
    else:
        fits = _nystrom_fits(content, landmarks, behaviour, width)
    for dual, seen, unseen in fits:
        score = float((task.ndcg(unseen, seen) + task.ndcg(unseen)).sum())
        yield _Choice(score, width, dual, unseen)


def _exact_fits(
    content: NDArray[np.float32], behaviour: NDArray[np.float32], width: float
) -> Iterator[_Fit]:
    """Fits to streamers who are all landmarks, one of each penalty.

    With C the kernel plus the penalty on its diagonal, and a = C^-1 v, predictions are
    v - penalty a, and own influences 1 - penalty diag(C^-1). A Cholesky factor and its inverse tell
    both, in less than half of the time that eigenvectors take.
    """
    kernel = _kernel(content, content, width)
    (trtri,) = get_lapack_funcs(("trtri",), (kernel,))
    for penalty in PENALTIES:
        root = kernel.copy(order="F")
        root.flat[:: len(root) + 1] += penalty
        root = cholesky(root, lower=True, overwrite_a=True)
        dual = cho_solve((root, True), behaviour.astype(np.float64))
        inverse, _ = trtri(root, lower=1, overwrite_c=1)
        own = 1 - penalty * np.einsum("ij,ij->j", inverse, inverse)
        del root, inverse
        yield dual, *_predictions(behaviour - penalty * dual, own, behaviour)


def _nystrom_fits(
    content: NDArray[np.float32],
    landmarks: NDArray[np.int64],
    behaviour: NDArray[np.float32],
    width: float,
) -> Iterator[_Fit]:
    """Fits by some landmarks, one of each penalty, in blocks of streamers."""
    parts = list(blocks(len(content), 2 * len(landmarks)))
    shown = content[landmarks]
    root = _kernel(shown, shown, width)
    root.flat[:: len(root) + 1] += _JITTER
    root = cholesky(root, lower=True, overwrite_a=True)
    moments = np.zeros_like(root)
    target = np.zeros((len(landmarks), behaviour.shape[1]))
    for part in parts:
        rows = _kernel(content[part], shown, width)
        moments += rows.T @ rows
        target += rows.T @ behaviour[part]
    half = solve_triangular(root, moments, lower=True)
    values, axes = eigh(solve_triangular(root, half.T, lower=True), overwrite_a=True)
    turn = solve_triangular(root.T, axes, lower=False)  # (M, M), kernel -> orthogonal features
    shrunk = [1 / (values.clip(min=0) + penalty) for penalty in PENALTIES]
    duals = [turn @ (each[:, None] * (turn.T @ target)) for each in shrunk]
    seen = [np.zeros_like(behaviour) for _ in PENALTIES]
    unseen = [np.zeros_like(behaviour) for _ in PENALTIES]
    for part in parts:
        rows = _kernel(content[part], shown, width)
        features = rows @ turn  # (b, M)
        for i, dual in enumerate(duals):
            own = (features * features) @ shrunk[i]  # (b,)
            seen[i][part], unseen[i][part] = _predictions(rows @ dual, own, behaviour[part])
    yield from zip(duals, seen, unseen, strict=True)


def _kernel(
    one: NDArray[np.float32], other: NDArray[np.float32], width: float
) -> NDArray[np.float64]:
    """Kernel of two sets of contents (B, M)."""
    cosines = (one @ other.T).astype(np.float64)
    cosines -= 1
    cosines *= width
    return np.exp(cosines, out=cosines)


def _predictions(
    fitted: NDArray[np.float64], own: NDArray[np.float64], behaviour: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Unit predictions (B, K) as they are fitted, and with each streamer left out.

    Args:
        fitted: predictions (B, K).
        own: the streamers' influences on their own (B,).
        behaviour: of the streamers (B, K).
    """
    alone = (fitted - own[:, None] * behaviour) / (1 - own[:, None]).clip(_LEAST_FREE)
    return (
        np.asarray(normalize(fitted), np.float32),
        np.asarray(normalize(alone), np.float32),
    )


def _task(
    behaviour: NDArray[np.float32], audience: sp.csr_matrix | None, rng: np.random.Generator
) -> ColdStartTask:
    """Some streamers search others of which they are one."""
    order = rng.permutation(len(behaviour))
    asking, searched = np.sort(order[:_MOST_ASKED]), np.sort(order[:_MOST_SEARCHED])
    if audience is None:
        return vector_task(behaviour, asking, searched)
    return cold_start_task(audience, asking, searched)
