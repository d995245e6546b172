"""Details of single runs in the report."""

from pydantic import BaseModel

from training.compare.worst import WorstCases


class TrainingCurve(BaseModel):
    """Validation metric during one fit.

    Attributes:
        method: name of the method.
        metric: name of the metric.
        points: (step, value).
        chosen: chosen step.
    """

    method: str
    metric: str
    points: list[tuple[float, float]]
    chosen: float


class Retention(BaseModel):
    """Robustness to one corruption; see `inference.robustness`.

    Attributes:
        corruption: "drop", "swap" or "boilerplate".
        modality: corrupted modality.
        shares: ascending shares of corrupted queries.
        retention: per share, metric relative to that without corruption.
        overlap: per share, mean share of unchanged hits among the first 20.
    """

    corruption: str
    modality: str
    shares: list[float]
    retention: list[float]
    overlap: list[float]


class PrecisionCurve(BaseModel):
    """Precision of the answers above a score.

    Attributes:
        name: group of queries.
        points: (score, precision), by score.
        is_bound: whether it is the lower confidence bound instead of the estimate.
    """

    name: str
    points: list[tuple[float, float]]
    is_bound: bool = False


class Details(BaseModel):
    """Details of one data set.

    Attributes:
        training: one curve per trained method that was validated.
        retention_of: method of the robustness measurement.
        retention: results per modality and corruption; empty unless requested.
        calibration_of: method of the calibration.
        calibration_source: definition of relevance and sample in words.
        calibration: precision curves; empty if the checkpoint has none.
        worst_of: method of the worst cases.
        worst: worst cases.
    """

    training: list[TrainingCurve] = []
    retention_of: str = ""
    retention: list[Retention] = []
    calibration_of: str = ""
    calibration_source: str = ""
    calibration: list[PrecisionCurve] = []
    worst_of: str = ""
    worst: WorstCases | None = None
