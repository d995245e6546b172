"""Duplicate threshold: the content cosine from which two streamers are near-duplicates."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from model_export.contract.features import Featurizer, collate
from model_export.contract.pieces import Piece
from model_export.contract.vocabulary import Vocabulary
from training.data.passes import subset
from training.evaluation.metrics import best_threshold, pairs_in_groups, pairwise_f1
from training.features.bags import known_pieces
from training.models.encoder import StreamerEncoder
from training.numeric.blocks import blocks
from training.numeric.nearest import nearest
from training.preparation.stage import Stage, all_rows

DEFAULT_THRESHOLD = 0.85
_CANDIDATES = 20
_BATCH = 64
_READ = 4096
_MOST_COMPARED = 30_000
"""Most streamers whose pairs are all compared."""


@dataclass(frozen=True)
class Threshold:
    """Duplicate threshold with its origin.

    Attributes:
        value: content cosine.
        source: one sentence on how it was chosen.
        metrics: F1 values at the threshold.
    """

    value: float
    source: str
    metrics: dict[str, float] = field(default_factory=dict)


class Sketches:
    """Content sketches of a stage's streamers, each computed once."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._rows = np.zeros(0, np.int64)  # ascending
        self._found = content_sketches(stage, self._rows)

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Content sketches (R, C) of ascending data set rows with usable content."""
        new = np.setdiff1d(rows, self._rows)
        found = np.concatenate([self._found, content_sketches(self._stage, new)])
        together = np.concatenate([self._rows, new])
        order = np.argsort(together)
        self._rows, self._found = together[order], found[order]
        return self._found[np.searchsorted(self._rows, rows)]


def calibrate_duplicates(stage: Stage, sketches: Sketches | None = None) -> Threshold:
    """Choose the threshold with the best pairwise F1 on the known duplicates of train + val.

    Candidates are the nearest streamers by content and by embedding. Without known duplicates the
    default threshold is returned, and its source says so. Data sets of more than 30,000 streamers
    are represented by a random sample of whole groups.

    Args:
        stage: with the final encoder.
        sketches: of the stage, shared with other calibrations; None = own ones.
    """
    if stage.dataset.duplicates is None:
        return _uncalibrated()
    rows = _compared(stage.dataset.duplicates, stage.usable, stage.seed)  # (R,)
    groups = stage.dataset.duplicates[rows]
    learned = np.isin(stage.dataset.split[rows], ("train", "val"))
    places = np.flatnonzero(learned)  # among the rows
    true = pairs_in_groups(groups[places])
    if not true:
        return _uncalibrated()
    content = (sketches or Sketches(stage))(rows)
    embedding = all_rows(stage.encoder, stage.encoder.embed, stage.bags, stage.usable, rows)
    pairs, cosines = _candidates(places, content, embedding)
    value = best_threshold(cosines, groups[pairs[:, 0]] == groups[pairs[:, 1]], true)
    metrics = {
        "duplicate_f1_train_val": f1_at(value, places, groups, content),
        "duplicate_f1_all": f1_at(value, np.arange(len(rows)), groups, content),
        "duplicate_f1_test": f1_at(value, np.flatnonzero(~learned), groups, content),
    }
    source = (
        f"best pairwise F1 ({metrics['duplicate_f1_train_val']:.3f}) on the {true} known "
        "duplicate pairs of train + val"
    )
    return Threshold(value, source, metrics)


def _uncalibrated() -> Threshold:
    source = "default, not calibrated: the training data has no known duplicates"
    return Threshold(DEFAULT_THRESHOLD, source)


def _compared(groups: NDArray[np.int64], usable: NDArray[np.bool_], seed: int) -> NDArray[np.int64]:
    """Usable rows; a random sample of whole groups if there are too many."""
    share = _MOST_COMPARED / max(int(usable.sum()), 1)
    drawn = np.random.default_rng(seed).random(int(groups.max()) + 1) < share
    return np.flatnonzero(usable & drawn[groups])


def content_sketches(stage: Stage, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Content sketches (R, C) of ascending data set rows with usable content."""
    return sketches_of(stage.encoder, stage.vocabulary, subset(stage.pieces, rows))


@torch.no_grad()
def sketches_of(
    encoder: StreamerEncoder, vocabulary: Vocabulary, profiles: Sequence[Sequence[Piece]]
) -> NDArray[np.float32]:
    """Content sketches (R, C) of the pieces of R profiles."""
    featurizer, known = Featurizer(vocabulary), known_pieces(vocabulary)
    sketches = np.zeros((len(profiles), encoder.content.signs.shape[1]), np.float32)
    remaining = iter(profiles)
    encoder.eval()
    for start in range(0, len(profiles), _READ):
        features = [featurizer.from_pieces(known(pieces)) for pieces in islice(remaining, _READ)]
        order = np.argsort([len(f.token_ids) for f in features], kind="stable")
        for part in np.split(
            order, range(_BATCH, len(order), _BATCH)
        ):  # similar lengths need little padding
            batch = collate([features[i] for i in part])
            inputs = [encoder.place(array) for array in batch.values()]
            sketches[start + part] = encoder.sketch(*inputs).cpu().numpy()
    return sketches


def _candidates(
    rows: NDArray[np.int64], content: NDArray[np.float32], embedding: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Candidate pairs (P, 2), lower row first, and their content cosines (P,)."""
    count = min(_CANDIDATES, len(rows) - 1)
    found = [nearest(vectors[rows], count)[0] for vectors in (content, embedding)]
    one = np.tile(np.repeat(np.arange(len(rows)), count), 2)
    other = np.concatenate([near.ravel() for near in found])
    pairs = np.unique(np.sort(np.stack([rows[one], rows[other]], 1), axis=1), axis=0)
    return pairs, (content[pairs[:, 0]] * content[pairs[:, 1]]).sum(1)


def f1_at(
    threshold: float,
    rows: NDArray[np.int64],
    groups: NDArray[np.int64],
    content: NDArray[np.float32],
) -> float:
    """Pairwise F1 of predicting all pairs with a content cosine of at least the threshold."""
    found = right = 0
    for part in blocks(len(rows), len(rows)):
        one, other = np.nonzero(content[rows[part]] @ content[rows].T >= threshold)
        one, other = rows[one + part.start], rows[other]  # (P,), (P,), places of both ends
        once = one < other
        found += int(once.sum())
        right += int((once & (groups[one] == groups[other])).sum())
    return pairwise_f1(right, found, pairs_in_groups(groups[rows]))
