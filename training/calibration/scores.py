"""Calibration of the embedding and content scores of a model."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

from model_export.contract.calibration import Calibration, Curve, Part, ScoreCalibration
from model_export.contract.features import Features
from training.calibration.answers import Answers, find_answers
from training.calibration.coverage import curves_by_coverage, veiled
from training.calibration.curves import curve
from training.calibration.scale import carried_over, score_scale
from training.calibration.truth import duplicate_truth, held_out_truth
from training.config import ContrastConfig
from training.data.passes import subset
from training.features.bags import bags_of, corpus_features
from training.inference.duplicate_threshold import Sketches
from training.preparation.stage import Stage, all_rows, embeddings

MODALITIES = ((1, 1), (2, 3), (4, None))
"""Groups of queries by number of modalities, each with a curve if it is large enough."""
FEWEST_QUERIES = 50


class Measured(Part):
    """Calibration of an encoder's embeddings with the scale of its scores.

    Attributes:
        scores: the calibration.
        scale: quantiles of the scores, see `score_scale`.
        width: shorter embedding width; None = full width.
    """

    scores: ScoreCalibration
    scale: list[float]
    width: int | None = None


def calibrate_embeddings(stage: Stage) -> list[Measured]:
    """Calibrate embedding cosines at the full width and at each shorter width.

    Args:
        stage: trained on the train split only.
    """
    shorter = stage.config.widths if isinstance(stage.config, ContrastConfig) else ()
    return [calibrate_embedding(stage, width) for width in (None, *shorter)]


def calibrate_embedding(stage: Stage, width: int | None = None) -> Measured:
    """Calibrate embedding cosines on validation streamers.

    Args:
        stage: trained on the train split only.
        width: shorter embedding width; None = full width.
    """
    scale, truth = score_scale(stage, width), held_out_truth(stage)
    if isinstance(truth, str):
        return Measured(scores=_none(truth), scale=scale, width=width)
    pieces = subset(stage.pieces, truth.queries)
    queries = veiled(list(corpus_features(pieces, stage.vocabulary)), stage.vocabulary, stage.seed)
    query = _embedded(stage, queries.features, width)  # (2Q, D)
    gallery = embeddings(stage, truth.gallery, width)
    count = len(truth.queries)
    answers = find_answers(truth, query[:count], gallery)
    curves = [curve(answers, 1, None)]
    shown = np.array([each.modalities_used for each in queries.features[:count]])
    for fewest, most in MODALITIES:
        among = (shown >= fewest) & (shown <= (most or shown.max()))
        if FEWEST_QUERIES <= among.sum() < len(among):
            curves.append(curve(answers.of(among), fewest, most))
    source = f"{truth.source}, embedded by an encoder that learned from train only"
    scores = _calibration(source, curves, answers)
    if scores.curves:
        by_coverage = curves_by_coverage(truth, queries, query, gallery)
        scores = scores.model_copy(update={"by_coverage": by_coverage})
    return Measured(scores=scores, scale=scale, width=width)


def carry_over(measured: Measured, stage: Stage) -> ScoreCalibration:
    """Map a calibration to the encoder that was refit on train + val.

    The refit encoder can't be calibrated itself, since no streamer with a known audience is held
    out. Precisions and bounds are those of the encoder before the refit; each threshold moves to
    the score that equally many pairs of training streamers reach. The 95 % bounds are therefore no
    bounds for the refit encoder.

    Args:
        measured: by `calibrate_embedding`, before the refit.
        stage: with the refit encoder.
    """
    scores = measured.scores
    if not scores.curves:
        return scores
    scale = score_scale(stage, measured.width)
    return ScoreCalibration(
        source=f"{scores.source}; thresholds mapped to the refit encoder by its scores of training "
        "streamers, so its 95 % bounds are estimates",
        base_rate=scores.base_rate,
        curves=[carried_over(one, measured.scale, scale) for one in scores.curves],
        by_coverage=[carried_over(one, measured.scale, scale) for one in scores.by_coverage],
    )


def calibration_of(
    measured: Sequence[Measured], stage: Stage, refit: bool, sketches: Sketches | None = None
) -> Calibration:
    """Calibration of a model.

    Args:
        measured: by `calibrate_embeddings`.
        stage: with the final encoder.
        refit: whether the encoder was refit after the measurement.
        sketches: of the stage, shared with other calibrations; None = own ones.
    """
    scores = [carry_over(each, stage) if refit else each.scores for each in measured]
    widths = [str(each.width) for each in measured[1:]]
    return Calibration(
        embedding=scores[0],
        content=calibrate_content(stage, sketches),
        shorter=dict(zip(widths, scores[1:], strict=True)),
    )


def calibrate_content(stage: Stage, sketches: Sketches | None = None) -> ScoreCalibration:
    """Calibrate content cosines on train + val; sketches are not learned, so none are held out."""
    truth = duplicate_truth(stage)
    if isinstance(truth, str):
        return _none(truth)
    rows = np.union1d(truth.queries, truth.gallery)
    found = (sketches or Sketches(stage))(rows)
    places = [np.searchsorted(rows, part) for part in (truth.queries, truth.gallery)]
    answers = find_answers(truth, found[places[0]], found[places[1]], depth=2)
    return _calibration(truth.source, [curve(answers, 1, None)], answers)


def _none(reason: str) -> ScoreCalibration:
    return ScoreCalibration(source=reason, base_rate=None, curves=[])


def _calibration(source: str, curves: list[Curve | None], answers: Answers) -> ScoreCalibration:
    """Calibration from curves; empty if the curve of all queries is missing."""
    if curves[0] is None:
        return _none(
            f"none: {int(answers.right.sum())} relevant among {len(answers.right)} labelled "
            f"pairs are too few ({source})"
        )
    known = [c for c in curves if c is not None]
    return ScoreCalibration(source=source, base_rate=answers.base_rate, curves=known)


def _embedded(stage: Stage, features: Sequence[Features], width: int | None) -> NDArray[np.float32]:
    """Unit embeddings of the features of R profiles (R, D), cut to `width` if given."""
    bags, usable = bags_of(features, stage.vocabulary)
    found = all_rows(stage.encoder, stage.encoder.embed, bags, usable)
    return found if width is None else np.asarray(normalize(found[:, :width]), np.float32)
