"""What a checkpoint stores of the last stage of a fit, besides the encoder."""

from typing import Any

import numpy as np
import scipy.sparse as sp

from model_export.contract.established import Established
from training.cold_start.vote import Vote, graph_of
from training.preparation.leaks import check_learned
from training.preparation.stage import Stage


def id_space(stage: Stage) -> dict[str, Any] | None:
    """Name and width of the teacher's space; None without a teacher."""
    if stage.teacher is None:
        return None
    return {"name": stage.teacher.space, "dim": int(stage.teacher.vectors.shape[1])}


def established(stage: Stage, vote: Vote, edges: sp.csr_matrix | None) -> Established | None:
    """Established streamers of the bundle; None without a teacher."""
    if stage.teacher is None or edges is None:
        return None
    ids = [stage.dataset.ids[row] for row in stage.teacher.rows]
    others = np.setdiff1d(np.arange(len(stage.dataset.ids)), stage.known)
    check_learned(ids, stage.dataset, others)
    return Established(ids, stage.teacher.vectors, graph_of(edges, vote))


def counts(stage: Stage) -> dict[str, float]:
    """Sizes of the training data."""
    return {
        "streamers": float(len(stage.dataset.ids)),
        "streamers_learned_from": float(len(stage.known)),
        "streamers_without_content": float((~stage.usable).sum()),
        "tokens": float(len(stage.vocabulary.tokens)),
        "teacher_streamers": float(0 if stage.teacher is None else len(stage.teacher.rows)),
    }
