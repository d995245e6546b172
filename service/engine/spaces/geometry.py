"""How the vectors of a generation lie to each other, to those before, and to content."""

from collections.abc import Generator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 20
POOL = 4096
"""Rows among which neighbours are looked for, and from which a rotation is estimated."""
QUERIES = 512
_FOLDS = 5
_RIDGES = (1e-3, 1e-2, 1e-1, 1.0)
"""Of the mean eigenvalue of the embeddings; the best of them counts."""
_BLOCK = 64


class Overlap(NamedTuple):
    """Agreement of two sets of neighbourhoods.

    Attributes:
        share: of the k nearest that are the same.
        beyond_chance: the same, 0 for rows in any order and 1 for the same neighbours.
        k: neighbours that were looked at.
    """

    share: float
    beyond_chance: float
    k: int


class Agreement(NamedTuple):
    """How well vectors agree with what is told from elsewhere: content, or neighbours.

    Attributes:
        auc: probability that what belongs to a streamer is nearer to it than another's.
        least: what is more than chance makes of so many rows.
        rows: that were looked at.
    """

    auc: float
    least: float
    rows: int


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors (n, d) at length 1."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)  # (n, 1)
    return (vectors / np.maximum(norms, np.float32(1e-30))).astype(np.float32)


def neighbourhood_overlap(
    one: NDArray[np.float32], other: NDArray[np.float32]
) -> Generator[None, None, Overlap]:
    """Agreement of neighbourhoods by cosine of the same rows in two spaces, in steps.

    Args:
        one: (n, d) with n > 2, at most `POOL`.
        other: (n, e).
    """
    n = len(one)
    k = max(1, min(NEIGHBOURS, n // 10))
    a, b = unit_rows(one), unit_rows(other)
    same = rows = 0
    for start in range(0, min(n, QUERIES), _BLOCK):
        found: list[NDArray[np.intp]] = []
        end = min(start + _BLOCK, n, QUERIES)
        for vectors in (a, b):
            scores = vectors[start:end] @ vectors.T  # (q, n)
            scores[np.arange(end - start), np.arange(start, end)] = -np.inf
            found.append(np.argpartition(-scores, k - 1, axis=1)[:, :k])  # (q, k)
            yield
        for left, right in zip(*found, strict=True):
            same += len(np.intersect1d(left, right, assume_unique=True))
        rows += end - start
    share, chance = same / (rows * k), k / (n - 1)
    return Overlap(share, (share - chance) / max(1 - chance, 1e-9), k)


def audience_agreement(
    streamers: NDArray[np.float32],
    users: NDArray[np.float32],
    streamers_before: NDArray[np.float32],
    users_before: NDArray[np.float32],
) -> Generator[None, None, float]:
    """Correlation of who suits whom by two hand-overs, in steps: 1 for the same, 0 by chance.

    It compares the cosines of all pairs of a streamer and a user, each less the mean of its
    streamer and of its user. Users who are all alike do no harm, as they would to lists of the
    best. The sums over all pairs come from the products of the vectors.

    Args:
        streamers: (n, d) of one hand-over.
        users: (m, d) of the same.
        streamers_before: (n, e) of the other, the same rows.
        users_before: (m, e).
    """
    sides = [
        (_centred(streamers), _centred(users)),
        (_centred(streamers_before), _centred(users_before)),
    ]
    yield
    sums: list[float] = []
    for one, other in ((0, 1), (0, 0), (1, 1)):
        (a, p), (b, q) = sides[one], sides[other]
        sums.append(float(((a.T @ b) * (p.T @ q)).sum()))
        yield
    both, mine, theirs = sums
    return both / max(float(np.sqrt(max(mine, 0.0) * max(theirs, 0.0))), 1e-30)


def _centred(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Vectors (n, d) at length 1, less their mean."""
    rows = unit_rows(vectors).astype(np.float64)
    return rows - rows.mean(axis=0)


def rotation_residual(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """What the best rotation (orthogonal Procrustes) leaves of `other`, as a share of its length.

    min over orthogonal R of ||one R - other||_F^2 / ||other||_F^2, each row at length 1, so 0 for a
    mere rotation and 1 or more for unrelated vectors.

    Args:
        one: (n, d).
        other: (n, d) of the same rows.
    """
    a, b = unit_rows(one).astype(np.float64), unit_rows(other).astype(np.float64)
    kept = np.linalg.svd(a.T @ b, compute_uv=False).sum()
    whole = float((a * a).sum() + (b * b).sum())
    return float(max(0.0, whole - 2 * kept) / max(float((b * b).sum()), 1e-30))


def agreement_with_content(
    content: NDArray[np.float32], vectors: NDArray[np.float32]
) -> Generator[None, None, Agreement]:
    """Whether vectors can be told from embeddings, by ridge regression across folds, in steps.

    Of rows in a wrong order nothing can be told: their AUC is 0.5, give or take 0.29 / sqrt(n).

    Args:
        content: (n, e) embeddings, n >= 10.
        vectors: (n, d) of the same rows.
    """
    n = len(content)
    x, y = content.astype(np.float64), unit_rows(vectors).astype(np.float64)
    fold_of = np.arange(n) % _FOLDS
    predicted = np.zeros((len(_RIDGES), n, y.shape[1]))
    for fold in range(_FOLDS):
        train, test = fold_of != fold, fold_of == fold
        mean_x, mean_y = x[train].mean(axis=0), y[train].mean(axis=0)
        a, b = x[train] - mean_x, y[train] - mean_y
        values, basis = np.linalg.eigh(a.T @ a)  # (e,), (e, e)
        moved = basis.T @ (a.T @ b)  # (e, d)
        for i, ridge in enumerate(_RIDGES):
            shrunk = moved / (np.maximum(values, 0) + ridge * max(values.mean(), 1e-12))[:, None]
            predicted[i, test] = (x[test] - mean_x) @ (basis @ shrunk)
            yield
    centred = unit_rows((y - y.mean(axis=0)).astype(np.float32))
    best = 0.0
    for one in predicted:
        scores = unit_rows(one.astype(np.float32)) @ centred.T  # (n, n)
        own = np.diagonal(scores)[:, None]
        better = (scores < own).sum() + 0.5 * ((scores == own).sum() - n)
        best = max(best, float(better) / (n * (n - 1)))
        yield
    # Five deviations, and something for the best of several ridges.
    return Agreement(best, 0.5 + max(0.02, 1.5 / np.sqrt(n)), n)


def agreement_with_neighbours(
    vectors: NDArray[np.float32], neighbours: NDArray[np.float32], seed: int = 0
) -> Agreement:
    """Whether neighbours that were handed over are near by their vectors.

    Each is compared with the neighbour of another streamer, so that being popular tells nothing. Of
    neighbours in a wrong order the AUC is 0.5, give or take 0.5 / sqrt(n).

    Args:
        vectors: (n, d), n >= 2.
        neighbours: (n, d) of one neighbour of each.
        seed: of whose neighbour is compared with.
    """
    n = len(vectors)
    order = np.random.default_rng(seed).permutation(n)
    other = np.empty(n, np.int64)
    other[order] = np.roll(order, 1)  # in a circle, so that nobody meets itself
    a, b = unit_rows(vectors), unit_rows(neighbours)
    own, others = (a * b).sum(axis=1), (a * b[other]).sum(axis=1)
    auc = float((own > others).mean() + 0.5 * (own == others).mean())
    return Agreement(auc, 0.5 + max(0.02, 1.5 / np.sqrt(n)), n)
