"""Quality of the rule for uninformative pieces (`training.features.vocabulary`)."""

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
    """Result of the rule on pieces with known truth.

    Attributes:
        pieces: number of pieces that the rule applies to.
        boilerplate: number of boilerplate pieces among them.
        auc: probability that a boilerplate piece is shown by more training streamers than another
            piece, ties by half; NaN if all pieces are of one kind.
        precision: share of boilerplate among the marked pieces; 1 if none is marked.
        recall: share of the boilerplate that is marked; 1 if there is none.
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
    """Measure the rule per modality, and over all modalities under the key `all`.

    Args:
        learned: pieces of the profiles that the vocabulary is counted on.
        shown: pieces of the profiles that are classified.
        boilerplate: per profile in `shown`, its modalities that are boilerplate.
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
