"""Leak checks: a run that would learn from held-out streamers fails.

They run when a stage is prepared, before its encoder is saved, when a baseline is fitted and before
a checkpoint is evaluated, and rely on the data set's own split.
"""

from collections.abc import Collection, Sequence
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from model_export.contract.features import MAX_TOKENS
from training.data import Dataset
from training.errors import LeakError
from training.numeric.blocks import blocks
from training.preparation.stage import Stage
from training.teachers.id_embeddings import Teacher
from training.towers import Tower

_SHOWN = 3
_TOKENS = 256
"""Estimated tokens per streamer, which sets the block size."""


def check_known(dataset: Dataset, known: NDArray[np.int64], allowed: Sequence[str]) -> None:
    """Check that the rows to learn from belong to the allowed splits.

    Raises:
        LeakError: some do not; the message names the first.
    """
    held_out = known[~np.isin(dataset.split[known], allowed)]
    if len(held_out):
        raise LeakError(
            f"{_named(dataset, held_out)} would be learned from; {_told(allowed)} may be"
        )


def check_teacher(dataset: Dataset, known: NDArray[np.int64], teacher: Teacher) -> None:
    """Check that a teacher contains known streamers only, also in the audiences of relations.

    Raises:
        LeakError: a held-out streamer is in the teacher.
    """
    held_out = np.setdiff1d(teacher.rows, known)
    if len(held_out):
        raise LeakError(f"{_named(dataset, held_out)} would be in the teacher")
    if dataset.relations is not None and teacher.audience is not None:
        # The audience of relations are streamers themselves: one column for each of the known.
        # Label noise may swap audiences, so they are compared as a set.
        related = dataset.relations[teacher.rows].tocsc()[:, known].tocsr()
        if not _audiences(teacher.audience) <= _audiences(related):
            raise LeakError(
                "the teacher has audiences with others than the streamers that may be learned from"
            )


def _audiences(audience: sp.csr_matrix) -> set[tuple[int, bytes]]:
    """Distinct rows of an audience (N, U), each as U and its user numbers."""
    ordered = audience.sorted_indices()
    ends, users = ordered.indptr.tolist(), ordered.indices.astype(np.int64)
    width = audience.get_shape()[1]
    return {(width, users[start:end].tobytes()) for start, end in pairwise(ends)}


def check_stage(stage: Stage, allowed: Sequence[str]) -> None:
    """Check that a stage's rows, vocabulary and teacher come from the allowed splits.

    Args:
        stage: of a fit.
        allowed: splits that it may learn from.

    Raises:
        LeakError: one of them includes other streamers.
    """
    check_known(stage.dataset, stage.known, allowed)
    _check_vocabulary(stage)
    if stage.teacher is not None:
        check_teacher(stage.dataset, stage.known, stage.teacher)


def _check_vocabulary(stage: Stage) -> None:
    """Check that a vocabulary was counted on known streamers, token by token.

    It keeps no ids, so what it counted is compared with what the known streamers show. Profiles
    with more tokens than are read may show any.
    """
    vocabulary, known = stage.vocabulary, stage.known
    size = vocabulary.size
    shown, cut = np.zeros(size, np.int64), 0  # by known streamers
    for part in blocks(len(known), _TOKENS):
        bags = stage.bags.take(known[part])
        rows = np.repeat(np.arange(len(bags)), bags.lengths)
        shown += np.bincount(np.unique(rows * size + bags.ids) % size, minlength=size)
        cut += int((bags.lengths >= MAX_TOKENS).sum())
    counted = np.array(vocabulary.document_frequency, np.int64)  # (V,), ids 1..V
    more = np.flatnonzero(counted > shown[1 : 1 + len(counted)] + cut)
    if len(more):
        first = int(more[0])
        raise LeakError(
            f"the vocabulary counted {vocabulary.tokens[first]!r} in {counted[first]} streamers, "
            f"of which {shown[1 + first]} may be learned from"
        )
    if vocabulary.documents != len(known):
        raise LeakError(
            f"the vocabulary was counted on {vocabulary.documents} streamers, of which "
            f"{len(known)} may be learned from"
        )


def check_learned(learned_from: Collection[str], dataset: Dataset, rows: NDArray[np.int64]) -> None:
    """Check that no streamer to be evaluated was learned from.

    Args:
        learned_from: ids of the training streamers.
        dataset: data set of the evaluation.
        rows: its held-out streamers.

    Raises:
        LeakError: some were learned from.
    """
    learned = set(learned_from)
    held_out = np.array([row for row in rows.tolist() if dataset.ids[row] in learned], np.int64)
    if len(held_out):
        raise LeakError(f"{_named(dataset, held_out)} was learned from")


def check_towers(towers: Sequence[Tower], dataset: Dataset) -> None:
    """Check that no tower was tuned on a held-out streamer.

    Raises:
        LeakError: a tower was.
    """
    for tower in towers:
        try:
            check_learned(tower.learned_from, dataset, dataset.rows("val", "test"))
        except LeakError as error:
            raise LeakError(
                f"{tower.spec.kind}_tower={tower.reference}: {error}; tune it again with the "
                "splits of this data set"
            ) from None


def _named(dataset: Dataset, rows: NDArray[np.int64]) -> str:
    names = [f"{dataset.ids[row]!r} ({dataset.split[row]})" for row in rows[:_SHOWN].tolist()]
    more = len(rows) - len(names)
    return "held-out " + ", ".join(names) + (f" and {more} more" if more else "")


def _told(splits: Sequence[str]) -> str:
    return "only " + " and ".join(splits)
