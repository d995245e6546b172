"""Response of `/v1/model`."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from service.http.schemas import Response, with_nulls

_EXAMPLE: dict[str, Any] = {
    "model_version": "transfer-plus-a931f7997f06",
    "recipe": "transfer-plus",
    "created_by": "similar-streamer 0.1.0",
    "data_digest": "d7818ce5" * 8,
    "dim": 256,
    "content_dim": 256,
    "id_space": {"name": "als", "dim": 64},
    "duplicate_threshold": {
        "value": 0.598,
        "source": "best pairwise F1 (1.000) on the 203 known duplicate pairs of train + val",
    },
    "parity": {"max_abs_diff": 1.1e-05, "min_cosine": 0.9999998},
    "towers": [],
    "metrics": {
        "test_seen_NDCG@20": 0.4996,
        "test_seen_TF-IDF_NDCG@20": 0.2588,
        "test_unseen_NDCG@20": 0.4318,
    },
    "calibration": {
        "embedding": {
            "source": "right = at least 2 users in common; 495 validation streamers searched 3430",
            "base_rate": 0.054,
            "curves": [
                {
                    "fewest": 1,
                    "most": None,
                    "least_coverage": None,
                    "queries": 495,
                    "knots": [
                        {"score": 0.957, "precision": 0.812, "at_least": 0.74, "answers": 0.37},
                        {"score": 0.8, "precision": 0.527, "at_least": 0.504, "answers": 57.0},
                    ],
                }
            ],
            "by_coverage": [],
        },
        "content": {
            "source": "no duplicates are known in this data",
            "base_rate": None,
            "curves": [],
            "by_coverage": [],
        },
    },
}


class IdSpaceOut(Response):
    """The recommender's space that the model predicts into."""

    name: str
    dim: int


class ThresholdOut(Response):
    """Content cosine from which two streamers are near-duplicates."""

    value: float
    source: Annotated[str, Field(description="How it was chosen.")]


class ParityOut(Response):
    """How far ONNX Runtime is from PyTorch."""

    max_abs_diff: float
    min_cosine: float


class ModelTowerOut(Response):
    """A pretrained encoder of single pieces."""

    name: str
    kind: Annotated[str, Field(description="What it reads: text, image or audio.")]
    width: Annotated[int, Field(description="Numbers of a vector.")]


class KnotOut(Response):
    """A threshold of the score, and what was measured of the answers that reach it."""

    score: float
    precision: Annotated[float, Field(description="Share of right answers, as estimated.")]
    at_least: Annotated[float, Field(description="What is promised: the lower bound of 95 %.")]
    answers: Annotated[float, Field(description="Mean number of answers to a question.")]


class CurveOut(Response):
    """Precision by score, for questions that show so much."""

    fewest: Annotated[int, Field(description="Fewest modalities of a question.")]
    most: Annotated[int | None, Field(description="Most modalities; null: any number.")]
    least_coverage: Annotated[
        float | None, Field(description="Least share that the model knows; null: any.")
    ]
    queries: Annotated[int, Field(description="How many questions were measured.")]
    knots: Annotated[list[KnotOut], Field(description="By descending score.")]


class ScoreCalibrationOut(Response):
    """Of one kind of score; without curves, `source` says why."""

    source: Annotated[str, Field(description="What counted as right, and who was measured.")]
    base_rate: Annotated[float | None, Field(description="Share of right pairs among all.")]
    curves: Annotated[
        list[CurveOut], Field(description="Of all questions first, then by their modalities.")
    ]
    by_coverage: Annotated[
        list[CurveOut],
        Field(description="By how much of a question the model knows; ascending."),
    ]


class CalibrationOut(Response):
    """Of both kinds of scores."""

    embedding: Annotated[ScoreCalibrationOut, Field(description="Of similar streamers.")]
    content: Annotated[ScoreCalibrationOut, Field(description="Of near-duplicates.")]


class ModelOut(Response):
    """The card of the model that answers."""

    model_config = ConfigDict(json_schema_extra={"examples": [with_nulls(_EXAMPLE)]})

    model_version: str
    recipe: Annotated[str, Field(description="How it was trained.")]
    created_by: Annotated[str, Field(description="Release that exported it.")]
    data_digest: Annotated[str, Field(description="Of the data that it was trained on.")]
    dim: Annotated[int, Field(description="Numbers of an embedding, as it is served.")]
    content_dim: Annotated[int, Field(description="Numbers of a content sketch.")]
    id_space: Annotated[IdSpaceOut | None, Field(description="null: it predicts no ID-embedding.")]
    duplicate_threshold: ThresholdOut
    parity: ParityOut
    towers: list[ModelTowerOut]
    metrics: Annotated[
        dict[str, float],
        Field(
            description="Measured by the training. seen: held-out streamers search those that it "
            "learned from; unseen: they search each other; cold_start: established ones vote."
        ),
    ]
    calibration: Annotated[
        CalibrationOut | None, Field(description="null: scores were not calibrated.")
    ]
