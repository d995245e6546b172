"""By what the best step of a tuned tower is chosen: how held-out streamers are found by texts."""

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

from model_export.contract.towers import TowerSpec
from training.data import Dataset
from training.errors import UsageError
from training.evaluation.metrics import reciprocal_rank
from training.evaluation.setting import Setting
from training.evaluation.tasks import ColdStartTask
from training.stage import sample
from training.tuning.texts import Texts, texts_of

_MOST_ASKED, _MOST_SEARCHED = 500, 2000
"""Held-out streamers that search, and others that they search: all their texts are encoded."""
_MOST_TEXTS = 8
"""Of each streamer, the first ones."""


class Validation:
    """Held-out streamers search by the mean of their text vectors, centred.

    Where behaviour is known they search the training streamers, and should find those that share
    an audience (NDCG@20). Otherwise the first half of a streamer's texts searches the other halves
    (MRR).

    Attributes:
        metric: its name.
        queries: how many search.
        texts: that are to be encoded, T of them.
    """

    def __init__(
        self,
        dataset: Dataset,
        known: NDArray[np.int64],
        spec: TowerSpec,
        uninformative: frozenset[str],
        seed: int,
    ) -> None:
        """Choose who searches whom.

        Args:
            dataset: with streamers in split `val`.
            known: rows that are learned from.
            spec: of the tower.
            uninformative: see `training.tuning.texts.meaningless`.
            seed: draws some where there are many.

        Raises:
            UsageError: no held-out streamer can search.
        """
        asking = sample(dataset.rows("val"), _MOST_ASKED, seed)
        searched = sample(known, _MOST_SEARCHED, seed)
        both = np.union1d(asking, searched)
        self._shown = texts_of(dataset, both, spec, uninformative, _MOST_TEXTS)
        asking, searched = (np.intersect1d(rows, self._shown.rows) for rows in (asking, searched))
        self._task = Setting(dataset, asking, searched).neighbours if len(asking) else None
        if self._task is None:
            self.metric = "MRR"
            self._shown = texts_of(dataset, asking, spec, uninformative, _MOST_TEXTS)
            self._shown = _of_two(self._shown)
            self.queries = len(self._shown.rows)
        else:
            self.metric, self.queries = "NDCG@20", len(self._task.queries)
        if not self.queries:
            raise UsageError(
                f"{dataset.folder}: nobody in split val shows a text that the tower reads "
                f"({', '.join(spec.modalities)}) and has an audience, or two such texts; without "
                "them it can't be told which step is best"
            )

    @property
    def texts(self) -> list[str]:
        """See the class."""
        return self._shown.texts

    def value(self, vectors: NDArray[np.float32]) -> float:
        """The metric, of vectors of the texts (T, W); more is better."""
        if self._task is None:
            return _halves_found(self._shown, vectors)
        return _found(self._task, self._shown, vectors)


def _found(task: ColdStartTask, shown: Texts, vectors: NDArray[np.float32]) -> float:
    means = shown.means(vectors)
    means = means - means[np.searchsorted(shown.rows, task.gallery)].mean(0)
    all_rows = np.zeros((int(shown.rows[-1]) + 1, vectors.shape[1]), np.float32)
    all_rows[shown.rows] = np.asarray(normalize(means), np.float32)
    return float(task.ndcg(all_rows).mean())


def _of_two(shown: Texts) -> Texts:
    """Those who show two texts or more."""
    kept = np.flatnonzero(shown.counts > 1)
    parts = [shown.shown[shown.indptr[i] : shown.indptr[i + 1]] for i in kept.tolist()]
    indptr = np.concatenate([[0], np.cumsum(shown.counts[kept])]).astype(np.int64)
    return Texts(shown.rows[kept], shown.texts, indptr, np.concatenate([*parts, indptr[:0]]))


def _halves_found(shown: Texts, vectors: NDArray[np.float32]) -> float:
    middle = shown.indptr[:-1] + shown.counts // 2
    ends = np.stack([shown.indptr[:-1], middle, shown.indptr[1:]])
    halves = [
        np.stack([vectors[shown.shown[a:b]].mean(0) for a, b in zip(*pair, strict=True)])
        for pair in (ends[:2], ends[1:])
    ]
    centre = np.concatenate(halves).mean(0)
    first, second = (np.asarray(normalize(half - centre), np.float32) for half in halves)
    return float(reciprocal_rank(first, second).mean())
