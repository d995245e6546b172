"""What is shown of single runs beside the comparison, read from their folders."""

from pydantic import BaseModel

from training.compare.worst import WorstCases


class TrainingCurve(BaseModel):
    """Validation of one fit while it trained.

    Attributes:
        method: its name.
        metric: what validation measured.
        points: (step, value).
        chosen: the step that was kept.
    """

    method: str
    metric: str
    points: list[tuple[float, float]]
    chosen: float


class Retention(BaseModel):
    """What is left when a part of the cold profiles is damaged; see `evaluation.robustness`.

    Attributes:
        corruption: "drop", "swap" or "boilerplate".
        modality: what is damaged.
        shares: of the streamers that are damaged, ascending.
        retention: at each, of the metric of the undamaged.
        overlap: at each, of the first 20 that the damaged find with those they found before.
    """

    corruption: str
    modality: str
    shares: list[float]
    retention: list[float]
    overlap: list[float]


class PrecisionCurve(BaseModel):
    """How many of the answers from a score on are right.

    Attributes:
        name: for which queries.
        points: (score, precision), by score.
        is_bound: whether it is what can be promised, not what is expected.
    """

    name: str
    points: list[tuple[float, float]]
    is_bound: bool = False


class Details(BaseModel):
    """Of one data set.

    Attributes:
        training: one curve per trained method.
        retention_of: the method that was damaged.
        retention: of every modality and corruption; empty unless asked for.
        calibration_of: the method whose scores were calibrated.
        calibration_source: what counts as right, and on whom it was measured.
        calibration: curves; empty where the checkpoint has none.
        worst_of: the method whose worst cases are shown.
        worst: them.
    """

    training: list[TrainingCurve] = []
    retention_of: str = ""
    retention: list[Retention] = []
    calibration_of: str = ""
    calibration_source: str = ""
    calibration: list[PrecisionCurve] = []
    worst_of: str = ""
    worst: WorstCases | None = None
