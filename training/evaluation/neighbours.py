"""Tasks `seen`, `unseen` and `cold start`, and the geometry of the vectors."""

import numpy as np

from training.evaluation.metrics import hubness, ndcg, recall, reciprocal_rank_of_hit
from training.evaluation.setting import Measured, Setting
from training.evaluation.subject import Matrix, Representation, count, scores, shown, unit
from training.evaluation.tasks import ColdStartTask, ranked

DEPTHS = (10, 20, 100)
_BLOCK = 1024


def measure_seen(setting: Setting, representation: Representation) -> Measured | None:
    """Cold queries against the gallery, both represented by content.

    None without ground truth, and for methods that represent the gallery by behaviour. Trained
    methods have learned from the gallery's audiences, which rewards remembering them.
    """
    return (
        None if representation.reads_behaviour else _measured(setting, setting.seen, representation)
    )


def measure_unseen(setting: Setting, representation: Representation) -> Measured | None:
    """Cold queries against each other by content, so that neither side was learned from.

    None without ground truth, and for methods that represent the gallery by behaviour.
    """
    return (
        None
        if representation.reads_behaviour
        else _measured(setting, setting.unseen, representation)
    )


def measure_cold_start(setting: Setting, representation: Representation) -> Measured | None:
    """Cold queries against the gallery, which may be represented by its behaviour."""
    return _measured(setting, setting.seen, representation.cold_start or representation)


def _measured(
    setting: Setting, task: ColdStartTask | None, representation: Representation
) -> Measured | None:
    """NDCG and recall @10, 20, 100, MRR@100 and hubness; None without ground truth.

    Hubness is computed over all cold streamers with content, with or without relevant streamers.
    """
    if task is None:
        return None
    query, gallery = representation.query, representation.gallery
    ranking = task.ranking(query, gallery, DEPTHS[-1])
    per_query = {
        **{f"NDCG@{k}": ndcg(ranking, task.relevant, k) for k in DEPTHS},
        **{f"recall@{k}": recall(ranking, task.relevant, k) for k in DEPTHS},
        "MRR": reciprocal_rank_of_hit(ranking, task.relevant),
    }
    summary = {name: float(values.mean()) for name, values in per_query.items()}
    asking = setting.queries[shown(query[setting.queries])]
    found = ranked(query, gallery, asking, task.gallery, 10)
    summary["hubness"] = hubness(found, len(task.gallery))
    return Measured(summary, task.queries, per_query)


def measure_vectors(setting: Setting, representation: Representation) -> Measured | None:
    """Alignment and uniformity (Wang & Isola 2020); None for asymmetric representations.

    Alignment is the mean ‖x - y‖² of a query and its relevant streamers; uniformity is computed
    over the cold streamers. Zero rows are excluded.
    """
    if not representation.is_symmetric:
        return None
    vectors = representation.query
    cold = unit(vectors[setting.queries])
    cold = cold[shown(cold)]
    summary = {"uniformity": uniformity(cold)} if count(cold) > 1 else {}
    task = setting.seen
    if task is None:
        return Measured(summary, np.zeros(0, np.int64), {}) if summary else None
    values = np.full(len(task.queries), np.nan)
    queries, gallery = unit(vectors[task.queries]), unit(vectors[task.gallery])
    asks, is_there = shown(queries), shown(gallery)
    for place, wanted in enumerate(task.relevant):
        near = wanted[is_there[wanted]]
        if asks[place] and len(near):
            cosines = scores(queries[place : place + 1], gallery[near])
            values[place] = 2 - 2 * cosines.mean()
    told = ~np.isnan(values)
    if told.any():
        summary["alignment"] = float(values[told].mean())
    return Measured(summary, task.queries[told], {"alignment": values[told]}) if summary else None


def uniformity(unit_rows: Matrix) -> float:
    """Uniformity (Wang & Isola 2020) of unit rows (R, K), R > 1; lower is more uniform.

    It is the log of the mean of exp(-2 ‖x - y‖²) over all pairs.
    """
    rows, total = count(unit_rows), 0.0
    for start in range(0, rows, _BLOCK):
        cosines = scores(unit_rows[start : start + _BLOCK], unit_rows)  # ‖x - y‖² = 2 - 2 cos
        total += float(np.exp(4 * cosines.astype(np.float64) - 4).sum())
    without_itself = max(total - rows, np.finfo(np.float64).tiny)
    return float(np.log(without_itself / (rows * (rows - 1))))
