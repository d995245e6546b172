"""The scale of an encoder's scores, to carry thresholds over from one encoder to another."""

from collections.abc import Sequence

import numpy as np

from model_export.contract.calibration import Curve
from training.preparation.stage import Stage, embeddings, sample

_SHARES = np.geomspace(1, 1e-5, 200)
_QUERIES = 1000
_GALLERY = 5000


def score_scale(stage: Stage, width: int | None = None) -> list[float]:
    """Scores that fixed shares of all pairs of training streamers reach, from low to high.

    Every encoder of a fit has learned from these streamers, so their scores with each other tell
    its scale apart from what it has learned. (Those of validation streamers do not: an encoder that
    has learned from them pushes them further away from most others.)

    Args:
        stage: with a trained encoder.
        width: what embeddings are cut to; None = nothing.
    """
    rows = stage.dataset.rows("train")
    asking, asked = (sample(rows, most, stage.seed) for most in (_QUERIES, _GALLERY))
    asking, asked = asking[stage.usable[asking]], asked[stage.usable[asked]]
    query, gallery = (embeddings(stage, part, width) for part in (asking, asked))
    scores = (query @ gallery.T)[asking[:, None] != asked]
    return np.quantile(scores, 1 - _SHARES).tolist()


def carried_over(curve: Curve, before: Sequence[float], after: Sequence[float]) -> Curve:
    """The curve of an encoder with its scores on the scale of another one.

    Args:
        curve: on the scale `before`.
        before: see `score_scale`.
        after: the same of the other encoder.
    """
    knots = list(curve.knots[:0])
    for knot in curve.knots:
        score = _map(knot.score, before, after)
        if knots and score >= knots[-1].score:
            knots.pop()  # of equal scores the one with more answers promises less
        knots.append(knot.model_copy(update={"score": score}))
    return curve.model_copy(update={"knots": knots})


def _map(score: float, before: Sequence[float], after: Sequence[float]) -> float:
    """Linear between the scales' points; beyond their ends, at the same distance from them."""
    inside = min(max(score, before[0]), before[-1])
    moved = float(np.interp(inside, before, after)) + score - inside
    return min(max(moved, -1.0), 1.0)
