"""Score scales: quantile mapping of thresholds from one encoder to another."""

from collections.abc import Sequence

import numpy as np

from model_export.contract.calibration import Curve
from training.preparation.stage import Stage, embeddings, sample

_SHARES = np.geomspace(1, 1e-5, 200)
_QUERIES = 1000
_GALLERY = 5000


def score_scale(stage: Stage, width: int | None = None) -> list[float]:
    """Quantiles of the scores between training streamers, ascending.

    Both encoders of a fit have learned from these streamers, so their quantiles are comparable.
    Validation streamers would not do, since an encoder that has learned from them pushes them
    further away from most others.

    Args:
        stage: with a trained encoder.
        width: shorter embedding width; None = full width.
    """
    rows = stage.dataset.rows("train")
    asking, asked = (sample(rows, most, stage.seed) for most in (_QUERIES, _GALLERY))
    asking, asked = asking[stage.usable[asking]], asked[stage.usable[asked]]
    query, gallery = (embeddings(stage, part, width) for part in (asking, asked))
    scores = (query @ gallery.T)[asking[:, None] != asked]
    return np.quantile(scores, 1 - _SHARES).tolist()


def carried_over(curve: Curve, before: Sequence[float], after: Sequence[float]) -> Curve:
    """Map the scores of a curve to the scale of another encoder.

    Args:
        curve: with scores on the scale `before`.
        before: `score_scale` of the measured encoder.
        after: `score_scale` of the other encoder.
    """
    knots = list(curve.knots[:0])
    for knot in curve.knots:
        score = _map(knot.score, before, after)
        if knots and score >= knots[-1].score:
            knots.pop()  # of equal scores, the knot with more answers has the lower bound
        knots.append(knot.model_copy(update={"score": score}))
    return curve.model_copy(update={"knots": knots})


def _map(score: float, before: Sequence[float], after: Sequence[float]) -> float:
    """Piecewise linear between quantiles; constant offset beyond their ends."""
    inside = min(max(score, before[0]), before[-1])
    moved = float(np.interp(inside, before, after)) + score - inside
    return min(max(moved, -1.0), 1.0)
