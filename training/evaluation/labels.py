"""Label task: find streamers with the same label."""

import numpy as np

from training.evaluation.metrics import DEPTH, ndcg_of_hits
from training.evaluation.setting import Measured, Setting
from training.evaluation.subject import Representation, top


def measure_labels(setting: Setting, representation: Representation) -> Measured | None:
    """Precision@20 and NDCG@20 of warm streamers with the query's label; None without labels.

    Streamers without a label are excluded.
    """
    names = setting.dataset.labels
    if names is None:
        return None
    numbers = {name: i for i, name in enumerate(sorted({n for n in names if n is not None}))}
    label = np.array([-1 if name is None else numbers[name] for name in names], np.int64)
    gallery = setting.gallery[label[setting.gallery] >= 0]
    size = np.bincount(label[gallery], minlength=len(numbers))
    queries = setting.queries[label[setting.queries] >= 0]
    queries = queries[size[label[queries]] > 0]
    if not len(queries):
        return None
    ranking = top(representation.query[queries], representation.gallery[gallery], DEPTH)
    hits = label[gallery[ranking]] == label[queries][:, None]  # (Q, <= 20)
    per_query = {
        f"precision@{DEPTH}": hits.mean(1),
        f"NDCG@{DEPTH}": ndcg_of_hits(hits, size[label[queries]]),
    }
    return Measured({n: float(v.mean()) for n, v in per_query.items()}, queries, per_query)
