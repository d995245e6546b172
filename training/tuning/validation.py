"""By what the best step of a tuned tower is chosen: how held-out streamers are found by pieces."""

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
"""Held-out streamers that search, and others that they search: what they show is encoded."""


class Validation:
    """Held-out streamers search by the mean of their pieces' vectors, centred.

    Where behaviour is known they search the training streamers, and should find those that share
    an audience (NDCG@20). Otherwise the first half of a streamer's pieces searches the other halves
    (MRR).

    Attributes:
        metric: its name.
        queries: how many search.
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
        """Choose who searches whom.

        Args:
            dataset: with streamers in split `val`.
            known: rows that are learned from.
            tower: that reads what they show.
            uninformative: see `training.tuning.shown.meaningless`.
            seed: draws some where there are many.
            stream: to report progress to; standard error by default.

        Raises:
            UsageError: no held-out streamer can search.
        """
        asking = sample(dataset.rows("val"), _MOST_ASKED, seed)
        searched = sample(known, _MOST_SEARCHED, seed)
        both = np.union1d(asking, searched)
        kind = ITEMS[tower.spec.kind]
        self._shown = shown_to(tower, dataset, both, uninformative, kind.most_checked, stream)
        asking, searched = (np.intersect1d(rows, self._shown.rows) for rows in (asking, searched))
        self._task = Setting(dataset, asking, searched).neighbours if len(asking) else None
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
                f"{kind.several}; without them it can't be told which step is best"
            )

    @property
    def items(self) -> Items:
        """What is to be encoded, T pieces."""
        return self._shown.items

    def value(self, vectors: NDArray[np.float32]) -> float:
        """The metric, of vectors of the items (T, W); more is better."""
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
    """Those who show two pieces or more."""
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
