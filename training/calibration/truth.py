"""Ground truth of calibration: which pairs of streamers are relevant.

Relevance is a property of the pair, such as "has users in common", and not of a rank, such as "is
among the 20 nearest". So a precision measured in one gallery holds in a larger one, and a sample of
the gallery measures the whole.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_export.contract.calibration import MIN_SHARED, RIGHT
from training.numeric.nearest import nearest
from training.preparation.stage import Stage, sample
from training.teachers.id_embeddings import audience_of, id_matrix

MAX_QUERIES = 2000
MAX_GALLERY = 30_000
_ID_NEIGHBOURS = 20


@dataclass(frozen=True, eq=False)
class Truth:
    """Queries, gallery and relevance.

    Attributes:
        source: description of relevance and sample in words.
        queries, gallery: int64 rows (Q,), (G,).
        query_weight, gallery_weight: float64 (Q,), (G,), sampling weights.
        cluster: int64 (Q,), equal for queries whose answers are dependent.
        is_right: places of queries (B,) -> relevance bool (B, G).
        once: whether each pair counts once, with the lower row as the query.
    """

    source: str
    queries: NDArray[np.int64]
    gallery: NDArray[np.int64]
    query_weight: NDArray[np.float64]
    gallery_weight: NDArray[np.float64]
    cluster: NDArray[np.int64]
    is_right: Callable[[NDArray[np.int64]], NDArray[np.bool_]]
    once: bool = False


def held_out_truth(stage: Stage) -> Truth | str:
    """Ground truth for validation queries, or the reason why there is none.

    The first available of audiences, ID-embeddings, labels and known duplicates is used.
    """
    if not len(_usable(stage, "val")):
        return "none: the training data has no validation streamers"
    for find in (_by_audience, _by_id_embeddings, _by_label, _by_duplicates):
        truth = find(stage)
        if truth is not None:
            return truth
    return (
        "none: the training data has no audiences, ID-embeddings, labels or known duplicates of "
        "validation streamers"
    )


def duplicate_truth(stage: Stage) -> Truth | str:
    """Ground truth by known duplicates of train + val, or the reason why there is none."""
    groups, rows = stage.dataset.duplicates, _usable(stage, "train", "val")
    if groups is None or not _grouped(rows, groups).any():
        return "none: the training data has no known duplicates"
    return _same_group(stage, groups, rows, rows, once=True)


def _usable(stage: Stage, *splits: str) -> NDArray[np.int64]:
    rows = stage.dataset.rows(*splits)
    return rows[stage.usable[rows]]


def _by_audience(stage: Stage) -> Truth | None:
    audience = audience_of(stage.dataset, stage.dataset.rows("train"))
    if audience is None:
        return None
    known = np.diff(audience.indptr) >= MIN_SHARED  # large enough to share users
    table = "interactions" if stage.dataset.relations is None else "relations"
    return _searching(
        stage,
        known,
        RIGHT[table],
        lambda queries, gallery: (audience[queries] @ audience[gallery].T).toarray() >= MIN_SHARED,
    )


def _by_id_embeddings(stage: Stage) -> Truth | None:
    if stage.dataset.id_embeddings is None:
        return None
    vectors, present = id_matrix(stage.dataset)
    directions = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    given = np.flatnonzero(present & (stage.dataset.split == "train"))
    rows = sample(given, MAX_QUERIES, stage.seed)
    if len(rows) < 2:
        return None
    near = nearest(directions[rows], max(1, round(_ID_NEIGHBOURS * len(rows) / len(given))))[1]
    cut = float(np.median(near[:, -1]))  # median cosine of the twentieth neighbour
    return _searching(
        stage,
        present,
        f"ID-embeddings with a cosine of at least {cut:.2f}",
        lambda queries, gallery: directions[queries] @ directions[gallery].T >= cut,
    )


def _by_label(stage: Stage) -> Truth | None:
    if stage.dataset.labels is None:
        return None
    number: dict[str | None, int] = {None: -1}
    labels = np.array([number.setdefault(x, len(number)) for x in stage.dataset.labels])
    return _searching(
        stage,
        labels >= 0,
        RIGHT["labels"],
        lambda queries, gallery: labels[queries][:, None] == labels[gallery],
    )


def _searching(
    stage: Stage,
    known: NDArray[np.bool_],
    right: str,
    pairs: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]],
) -> Truth | None:
    """Ground truth of validation queries against training streamers with `known` truth (N,)."""
    everyone = [rows[known[rows]] for rows in (_usable(stage, "val"), _usable(stage, "train"))]
    if not all(len(rows) for rows in everyone):
        return None
    queries = sample(everyone[0], MAX_QUERIES, stage.seed)
    gallery = sample(everyone[1], MAX_GALLERY, stage.seed)
    return Truth(
        f"right = {right}; {len(queries)} validation streamers searched {len(everyone[1])} "
        "training streamers",
        queries,
        gallery,
        np.full(len(queries), len(everyone[0]) / len(queries)),
        np.full(len(gallery), len(everyone[1]) / len(gallery)),
        np.arange(len(queries)),
        lambda places: pairs(queries[places], gallery),
    )


def _by_duplicates(stage: Stage) -> Truth | None:
    groups, queries = stage.dataset.duplicates, _usable(stage, "val")
    if groups is None or not _grouped(queries, groups).any():
        return None
    return _same_group(stage, groups, queries, _usable(stage, "train", "val"), once=False)


def _same_group(
    stage: Stage,
    groups: NDArray[np.int64],
    queries: NDArray[np.int64],
    gallery: NDArray[np.int64],
    *,
    once: bool,
) -> Truth:
    """Ground truth by group: all streamers with duplicates, and a weighted sample of the others."""
    count = len(gallery)
    queries, query_weight = _stratified(queries, groups, MAX_QUERIES, stage.seed)
    gallery, gallery_weight = _stratified(gallery, groups, MAX_GALLERY, stage.seed)
    return Truth(
        f"right = known duplicates; {len(queries)} streamers searched {count} of train + val",
        queries,
        gallery,
        query_weight,
        gallery_weight,
        groups[queries],
        lambda places: groups[queries[places]][:, None] == groups[gallery],
        once,
    )


def _grouped(rows: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each row shares its group with another row (R,)."""
    return np.bincount(groups[rows])[groups[rows]] > 1


def _stratified(
    rows: NDArray[np.int64], groups: NDArray[np.int64], most: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Stratified sample of at most `most` rows with weights; half for rows with duplicates."""
    has_copy = _grouped(rows, groups)
    copies = sample(rows[has_copy], most // 2, seed)
    others = sample(rows[~has_copy], most - len(copies), seed)
    weights = [
        np.full(len(drawn), total / max(len(drawn), 1))
        for drawn, total in ((copies, has_copy.sum()), (others, (~has_copy).sum()))
    ]
    order = np.argsort(np.concatenate([copies, others]), kind="stable")
    return np.concatenate([copies, others])[order], np.concatenate(weights)[order]
