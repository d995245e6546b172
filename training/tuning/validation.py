"""Validation of a tuned tower by retrieval of held-out streamers."""

from typing import TextIO

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

from training.data import Dataset
from training.errors import UsageError
from training.evaluation.metrics import reciprocal_rank
from training.evaluation.setting import Setting
from training.evaluation.tasks import ColdStartTask
from training.preparation.stage import sample
from training.towers import Tower
from training.tuning.items import Items
from training.tuning.shown import ITEMS, Shown, shown_to

_MOST_ASKED, _MOST_SEARCHED = 500, 2000
"""Most queries, and most gallery streamers, whose pieces are encoded per validation."""


class Validation:
    """Retrieval by centred means of piece vectors.

    If behaviour is known, held-out streamers search the training streamers that share their
    audience (NDCG@20). Otherwise the first half of a streamer's pieces searches the second halves
    (MRR).

    Attributes:
        metric: name of the metric.
        queries: number of queries.
    """

    def __init__(
        self,
        dataset: Dataset,
        known: NDArray[np.int64],
        tower: Tower,
        uninformative: frozenset[str],
        seed: int,
        stream: TextIO | None = None,
    ) -> None:
        """Sample queries and gallery.

        Args:
            dataset: with streamers in split `val`.
            known: rows of the training streamers.
            tower: tower that is tuned.
            uninformative: see `training.tuning.shown.meaningless`.
            seed: of the sample.
            stream: for progress; None = standard error.

        Raises:
            UsageError: there is no usable query.
        """
        asking = sample(dataset.rows("val"), _MOST_ASKED, seed)
        searched = sample(known, _MOST_SEARCHED, seed)
        both = np.union1d(asking, searched)
        kind = ITEMS[tower.spec.kind]
        self._shown = shown_to(tower, dataset, both, uninformative, kind.most_checked, stream)
        asking, searched = (np.intersect1d(rows, self._shown.rows) for rows in (asking, searched))
        setting = Setting(dataset, asking, searched, known=known)
        self._task = setting.seen if len(asking) else None
        if self._task is None:
            self.metric = "MRR"
            shown = shown_to(tower, dataset, asking, uninformative, kind.most_checked, stream)
            self._shown = _of_two(shown)
            self.queries = len(self._shown.rows)
        else:
            self.metric, self.queries = "NDCG@20", len(self._task.queries)
        if not self.queries:
            raise UsageError(
                f"{dataset.folder}: nobody in split val shows {kind.one} that the tower reads "
                f"({', '.join(tower.spec.modalities)}) and has an audience, or two such "
                f"{kind.several}; the best step can't be chosen without them"
            )

    @property
    def items(self) -> Items:
        """The T pieces to encode."""
        return self._shown.items

    def value(self, vectors: NDArray[np.float32]) -> float:
        """Metric for vectors of the items (T, W), higher is better."""
        if self._task is None:
            return _halves_found(self._shown, vectors)
        return _found(self._task, self._shown, vectors)


def _found(task: ColdStartTask, shown: Shown, vectors: NDArray[np.float32]) -> float:
    means = shown.means(vectors)
    means = means - means[np.searchsorted(shown.rows, task.gallery)].mean(0)
    all_rows = np.zeros((int(shown.rows[-1]) + 1, vectors.shape[1]), np.float32)
    all_rows[shown.rows] = np.asarray(normalize(means), np.float32)
    return float(task.ndcg(all_rows).mean())


def _of_two(shown: Shown) -> Shown:
    """Streamers with at least two pieces."""
    kept = np.flatnonzero(shown.counts > 1)
    parts = [shown.shown[shown.indptr[i] : shown.indptr[i + 1]] for i in kept.tolist()]
    indptr = np.concatenate([[0], np.cumsum(shown.counts[kept])]).astype(np.int64)
    return Shown(shown.rows[kept], shown.items, indptr, np.concatenate([*parts, indptr[:0]]))


def _halves_found(shown: Shown, vectors: NDArray[np.float32]) -> float:
    middle = shown.indptr[:-1] + shown.counts // 2
    ends = np.stack([shown.indptr[:-1], middle, shown.indptr[1:]])
    halves = [
        np.stack([vectors[shown.shown[a:b]].mean(0) for a, b in zip(*pair, strict=True)])
        for pair in (ends[:2], ends[1:])
    ]
    centre = np.concatenate(halves).mean(0)
    first, second = (np.asarray(normalize(half - centre), np.float32) for half in halves)
    return float(reciprocal_rank(first, second).mean())
