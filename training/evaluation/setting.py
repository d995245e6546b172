"""Evaluation setting: held-out queries of a split, and the streamers known to the fit."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from training.data import Dataset
from training.errors import UsageError
from training.evaluation.tasks import ColdStartTask, HeldOut, cold_start_task, vector_task
from training.teachers.id_embeddings import audience_of, id_matrix

Split = Literal["test", "val"]
SPLITS: tuple[Split, ...] = ("test", "val")
KNOWN: dict[Split, tuple[str, ...]] = {"test": ("train", "val"), "val": ("train",)}
"""Held-out split -> splits that may be learned from, which form the gallery.

All methods search the same gallery, also one that has not learned from val.
"""


@dataclass(frozen=True, eq=False)
class Setting:
    """Queries and gallery of an evaluation.

    Attributes:
        dataset: N streamers.
        queries: int64 rows of the cold streamers.
        gallery: int64 rows of the warm streamers.
        known: int64 rows of the streamers that count as an audience in relations; None = gallery.
    """

    dataset: Dataset
    queries: NDArray[np.int64]
    gallery: NDArray[np.int64]
    known: NDArray[np.int64] | None = None

    @cached_property
    def audience(self) -> sp.csr_matrix | None:
        """Audience of each streamer, binary (N, U); cold streamers are nobody's audience."""
        return audience_of(self.dataset, self.gallery if self.known is None else self.known)

    @cached_property
    def seen(self) -> ColdStartTask | None:
        """Cold streamers against the warm ones; None without behavioural ground truth."""
        return self._against(self.gallery)

    @cached_property
    def unseen(self) -> ColdStartTask | None:
        """Cold streamers against each other; None without behavioural ground truth."""
        return self._against(self.queries)

    @cached_property
    def held_out(self) -> HeldOut:
        """Both tasks, for choosing steps and settings; without queries where there is no truth."""
        nothing = np.zeros(0, np.int64)
        empty = ColdStartTask(nothing, nothing, [])
        return HeldOut(self.seen or empty, self.unseen or empty)

    def _against(self, gallery: NDArray[np.int64]) -> ColdStartTask | None:
        if self.audience is not None:
            task = cold_start_task(self.audience, self.queries, gallery)
        elif self.dataset.id_embeddings is not None:
            vectors, present = id_matrix(self.dataset)
            queries, gallery = (rows[present[rows]] for rows in (self.queries, gallery))
            if not len(gallery):
                return None
            task = vector_task(vectors, queries, gallery)
        else:
            return None
        return task if len(task.queries) else None


@dataclass(frozen=True, eq=False)
class Measured:
    """Metrics of one task.

    Attributes:
        summary: metric -> value.
        queries: int64 (Q,), rows of the queries.
        per_query: metric -> float64 (Q,).
    """

    summary: dict[str, float]
    queries: NDArray[np.int64]
    per_query: dict[str, NDArray[np.float64]]


def setting_of(dataset: Dataset, split: Split = "test") -> Setting:
    """Setting of a held-out split against its known splits.

    Raises:
        UsageError: one of the splits is empty.
    """
    queries, gallery = dataset.rows(split), dataset.rows(*KNOWN[split])
    for rows, names in ((queries, (split,)), (gallery, KNOWN[split])):
        if not len(rows):
            raise UsageError(f"{dataset.folder} has no streamers in split {' or '.join(names)}")
    return Setting(dataset, queries, gallery)
