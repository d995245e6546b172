"""Duplicate task: find near-duplicates of cold streamers."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from training.evaluation.metrics import b_cubed, best_threshold, f1, pairs_in_groups, pairwise_f1
from training.evaluation.setting import Measured, Setting
from training.evaluation.subject import Matrix, Representation, paired_scores, scores, top, unit

_CANDIDATES = 20
_BLOCK = 1024


def measure_duplicates(setting: Setting, representation: Representation) -> Measured | None:
    """Pairwise F1 and B³ over all pairs with a cold streamer; None without ground truth.

    Pairs are predicted as duplicates if their cosine reaches the threshold; B³ groups are connected
    components. Methods without one vector per streamer are not measured.
    """
    groups, content = setting.dataset.duplicates, representation.content
    if content is None and representation.is_symmetric:
        content = representation.query
    if groups is None or content is None:
        return None
    rows = np.concatenate([setting.queries, setting.gallery])  # (R,), cold streamers first
    cold, groups, vectors = len(setting.queries), groups[rows], unit(content[rows])
    true = pairs_in_groups(groups[:cold])
    if not true:
        return None
    threshold = representation.duplicate_threshold
    if threshold is None:
        threshold = _best_on_gallery(vectors[cold:], groups[cold:])
    one, other = _pairs(vectors, cold, threshold)
    right = int((groups[one] == groups[other]).sum())
    graph = sp.csr_matrix((np.ones(len(one), bool), (one, other)), (len(rows), len(rows)))
    found = connected_components(graph, directed=False)[1].astype(np.int64)
    precision, recall = (values[:cold] for values in b_cubed(found, groups))
    summary = {
        "pairwise F1": pairwise_f1(right, len(one), true),
        "B3": f1(float(precision.mean()), float(recall.mean())),
        "B3 precision": float(precision.mean()),
        "B3 recall": float(recall.mean()),
        "threshold": float(threshold),
    }
    per_query = {"B3 precision": precision, "B3 recall": recall}
    return Measured(summary, setting.queries, per_query)


def _best_on_gallery(vectors: Matrix, groups: NDArray[np.int64]) -> float:
    """Threshold with the best F1 on candidate pairs of rows (G, K) with groups (G,)."""
    near = top(vectors, vectors, 1 + _CANDIDATES)
    one, other = np.repeat(np.arange(len(near)), near.shape[1]), near.ravel()
    pairs = np.unique(np.sort(np.stack([one, other], 1)[one != other], axis=1), axis=0)
    cosines = paired_scores(vectors[pairs[:, 0]], vectors[pairs[:, 1]])
    true = pairs_in_groups(groups)
    return best_threshold(cosines, groups[pairs[:, 0]] == groups[pairs[:, 1]], true)


def _pairs(
    vectors: Matrix, cold: int, threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs (P,), (P,) of one of the first `cold` rows and a later row above a cosine."""
    ones, others = [], []
    for start in range(0, cold, _BLOCK):
        block = scores(vectors[start : min(start + _BLOCK, cold)], vectors)
        one, other = np.nonzero(block >= threshold)
        later = other > one + start
        ones.append(one[later] + start)
        others.append(other[later])
    return np.concatenate(ones), np.concatenate(others)
