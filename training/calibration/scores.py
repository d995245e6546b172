"""What the two scores of a model promise."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model_export.contract.calibration import Calibration, Curve, Part, ScoreCalibration
from model_export.contract.features import Featurizer
from training.calibration.answers import Answers, find_answers
from training.calibration.curves import curve
from training.calibration.scale import carried_over, score_scale
from training.calibration.truth import duplicate_truth, held_out_truth
from training.config import ContrastConfig
from training.data.passes import subset
from training.features.bags import known_pieces
from training.inference.duplicate_threshold import content_sketches
from training.preparation.stage import Stage, embeddings

MODALITIES = ((1, 1), (2, 3), (4, None))
"""Queries that show so many modalities have a curve of their own where they are enough."""
FEWEST_QUERIES = 50


class Measured(Part):
    """What was measured of an encoder's embeddings.

    Attributes:
        scores: what they promise.
        scale: of the scores, see `score_scale`.
        width: what the embeddings were cut to; None = nothing.
    """

    scores: ScoreCalibration
    scale: list[float]
    width: int | None = None


def calibrate_embeddings(stage: Stage) -> list[Measured]:
    """What cosines of embeddings promise, of the full width first, then of each shorter one.

    Args:
        stage: trained on the train split alone.
    """
    shorter = stage.config.widths if isinstance(stage.config, ContrastConfig) else ()
    return [calibrate_embedding(stage, width) for width in (None, *shorter)]


def calibrate_embedding(stage: Stage, width: int | None = None) -> Measured:
    """What cosines of embeddings promise, of streamers that the stage has not learned from.

    Args:
        stage: trained on the train split alone.
        width: what embeddings are cut to; None = nothing.
    """
    scale, truth = score_scale(stage, width), held_out_truth(stage)
    if isinstance(truth, str):
        return Measured(scores=_none(truth), scale=scale, width=width)
    query, gallery = (embeddings(stage, rows, width) for rows in (truth.queries, truth.gallery))
    answers = find_answers(truth, query, gallery)
    curves = [curve(answers, 1, None)]
    shown = _modalities(stage, truth.queries)
    for fewest, most in MODALITIES:
        among = (shown >= fewest) & (shown <= (most or shown.max()))
        if FEWEST_QUERIES <= among.sum() < len(among):
            curves.append(curve(answers.of(among), fewest, most))
    source = f"{truth.source}, embedded by an encoder that learned from the latter alone"
    return Measured(scores=_calibration(source, curves, answers), scale=scale, width=width)


def carry_over(measured: Measured, stage: Stage) -> ScoreCalibration:
    """The calibration of an encoder that was trained once more, on train + val.

    Nobody whose audience may be looked at is held out of it, and its scores are on a scale of their
    own. So the precision is that of the encoder before it, and each threshold moves to where
    equally many pairs of training streamers reach it.

    Args:
        measured: by `calibrate_embedding`, before it was trained once more.
        stage: with the final encoder.
    """
    scores = measured.scores
    if not scores.curves:
        return scores
    scale = score_scale(stage, measured.width)
    return ScoreCalibration(
        source=f"{scores.source}; thresholds carried over to the final one by its scores of "
        "training streamers",
        base_rate=scores.base_rate,
        curves=[carried_over(one, measured.scale, scale) for one in scores.curves],
    )


def calibration_of(measured: Sequence[Measured], stage: Stage, refit: bool) -> Calibration:
    """All that the scores of a model promise.

    Args:
        measured: by `calibrate_embeddings`.
        stage: with the final encoder.
        refit: whether that was trained once more since.
    """
    scores = [carry_over(each, stage) if refit else each.scores for each in measured]
    widths = [str(each.width) for each in measured[1:]]
    return Calibration(
        embedding=scores[0],
        content=calibrate_content(stage),
        shorter=dict(zip(widths, scores[1:], strict=True)),
    )


def calibrate_content(stage: Stage) -> ScoreCalibration:
    """What cosines of content sketches promise; those are not learned, so nobody is held out."""
    truth = duplicate_truth(stage)
    if isinstance(truth, str):
        return _none(truth)
    rows = np.union1d(truth.queries, truth.gallery)
    sketches = content_sketches(stage, rows)
    places = [np.searchsorted(rows, part) for part in (truth.queries, truth.gallery)]
    answers = find_answers(truth, sketches[places[0]], sketches[places[1]], depth=2)
    return _calibration(truth.source, [curve(answers, 1, None)], answers)


def _none(reason: str) -> ScoreCalibration:
    return ScoreCalibration(source=reason, base_rate=None, curves=[])


def _calibration(source: str, curves: list[Curve | None], answers: Answers) -> ScoreCalibration:
    """Without the curve of all queries there are none of parts of them either."""
    if curves[0] is None:
        return _none(
            f"none: {int(answers.right.sum())} right ones among {len(answers.right)} labelled "
            f"pairs are too few ({source})"
        )
    known = [c for c in curves if c is not None]
    return ScoreCalibration(source=source, base_rate=answers.base_rate, curves=known)


def _modalities(stage: Stage, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many modalities each of the streamers shows (R,)."""
    featurizer, known = Featurizer(stage.vocabulary), known_pieces(stage.vocabulary)
    features = (featurizer.from_pieces(known(pieces)) for pieces in subset(stage.pieces, rows))
    return np.array([f.modalities_used for f in features], np.int64)
