"""How well the rule for meaningless pieces (`training.features.vocabulary`) finds boilerplate."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from model_export.contract.pieces import Piece
from model_export.contract.uninformative import may_say_nothing, says_nothing
from training.features.vocabulary import build_vocabulary


@dataclass(frozen=True)
class Gate:
    """What the rule does to pieces whose truth is known.

    Attributes:
        pieces: how many it could call meaningless.
        boilerplate: how many of them are.
        auc: probability that a boilerplate piece is shown by more of the streamers that were
            learned from than another piece is, ties by half; NaN when all are of one kind.
        precision: share of boilerplate among what is called meaningless; 1 when nothing is.
        recall: share of the boilerplate that is called meaningless; 1 when there is none.
    """

    pieces: int
    boilerplate: int
    auc: float
    precision: float
    recall: float


def measure_gate(
    learned: Sequence[Sequence[Piece]],
    shown: Sequence[Sequence[Piece]],
    boilerplate: Sequence[frozenset[str]],
) -> dict[str, Gate]:
    """How boilerplate is found per modality, and under `all` in all of them.

    Args:
        learned: pieces of the profiles that a vocabulary is counted on.
        shown: pieces of the profiles that are judged, others or the same.
        boilerplate: the modalities of each of those that are meaningless.
    """
    shown_by = Counter(
        cluster
        for pieces in learned
        for cluster in {piece.cluster_hash for piece in pieces if may_say_nothing(piece)}
    )
    uninformative = build_vocabulary(learned).uninformative
    judged = [
        (piece, piece.modality in meaningless)
        for pieces, meaningless in zip(shown, boilerplate, strict=True)
        for piece in pieces
        if may_say_nothing(piece)
    ]
    modality = np.array([piece.modality for piece, _ in judged])
    true = np.array([is_boilerplate for _, is_boilerplate in judged], bool)
    count = np.array([shown_by[piece.cluster_hash] for piece, _ in judged])
    marked = np.array([says_nothing(piece, uninformative) for piece, _ in judged], bool)
    parts = {name: modality == name for name in dict.fromkeys(modality.tolist())}
    parts["all"] = np.ones(len(judged), bool)
    return {name: _gate(true[part], count[part], marked[part]) for name, part in parts.items()}


def _gate(true: NDArray[np.bool_], count: NDArray[np.int64], marked: NDArray[np.bool_]) -> Gate:
    right = np.count_nonzero(true & marked)
    return Gate(
        pieces=len(true),
        boilerplate=int(true.sum()),
        auc=float(roc_auc_score(true, count)) if true.any() and not true.all() else float("nan"),
        precision=right / int(marked.sum()) if marked.any() else 1.0,
        recall=right / int(true.sum()) if true.any() else 1.0,
    )
