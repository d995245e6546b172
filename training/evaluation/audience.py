"""The second task: which users a cold streamer will have."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from training.evaluation.metrics import ndcg
from training.evaluation.ranking import top
from training.evaluation.setting import Measured, Setting
from training.evaluation.subject import Matrix, Representation, count, scores

DEPTH = 50
VOTERS = 50
"""So many of the nearest warm streamers vote for their audiences."""
_BLOCK = 512


def measure_audience(setting: Setting, representation: Representation) -> Measured | None:
    """NDCG@50 of the users of a cold streamer, beside users ranked by popularity; None if unknown.

    A user's score is the sum of the scores of the nearest warm streamers that it watches, negative
    ones not counted. A user who watches no warm streamer can't be found and is left out of the
    truth.
    """
    if setting.audience is None:
        return None
    warm = sp.csr_matrix(setting.audience[setting.gallery])
    watched = np.asarray(warm.sum(0), np.float32).ravel()
    truth = sp.csr_matrix(setting.audience[setting.queries])
    users = [truth.indices[a:b] for a, b in zip(truth.indptr[:-1], truth.indptr[1:], strict=True)]
    relevant = [u[watched[u] > 0].astype(np.int64) for u in users]
    asked = np.array([len(wanted) > 0 for wanted in relevant], bool)
    queries, relevant = setting.queries[asked], [w for w in relevant if len(w)]
    if not len(queries):
        return None
    everyone = np.tile(_best(watched), (len(queries), 1))
    if representation.user_scores is None:
        found = _voted(representation.query[queries], representation.gallery[setting.gallery], warm)
    else:
        found = np.tile(_best(representation.user_scores), (len(queries), 1))
    per_query = {
        "NDCG@50": ndcg(found, relevant, DEPTH),
        "popularity NDCG@50": ndcg(everyone, relevant, DEPTH),
    }
    return Measured({n: float(v.mean()) for n, v in per_query.items()}, queries, per_query)


def _best(user_scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """The best users (<= 50,) of scores (U,)."""
    return top(np.ones((1, 1), np.float32), user_scores[:, None], DEPTH)[0]


def _voted(queries: Matrix, gallery: Matrix, audience: sp.csr_matrix) -> NDArray[np.int64]:
    """The best users (Q, <= 50) by the votes of the nearest.

    Args:
        queries: (Q, K).
        gallery: (G, K).
        audience: of the gallery, binary (G, U).
    """
    near = top(queries, gallery, VOTERS)  # (Q, V)
    watches = sp.csr_matrix(audience.T)  # (U, G)
    found = []
    for start in range(0, count(queries), _BLOCK):
        part = near[start : start + _BLOCK]
        all_scores = scores(queries[start : start + _BLOCK], gallery)
        weights = np.take_along_axis(all_scores, part, 1).clip(0).astype(np.float32)
        votes = sp.csr_matrix(
            (weights.ravel(), part.ravel(), np.arange(len(part) + 1) * part.shape[1]),
            (len(part), count(gallery)),
        )
        found.append(top(votes, watches, DEPTH))
    return np.concatenate(found)
