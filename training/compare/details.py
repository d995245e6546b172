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


class RetentionCurve(BaseModel):
    """What is left of the primary metric when a part of the cold profiles is damaged.

    Attributes:
        damage: "drop", "swap" or "boilerplate".
        part: of the profile that is damaged.
        points: (probability, share of the undamaged value).
    """

    damage: str
    part: str
    points: list[tuple[float, float]]


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
        retention: curves; empty unless computed.
        calibration_of: the method whose scores were calibrated.
        calibration_source: what counts as right, and on whom it was measured.
        calibration: curves; empty where the checkpoint has none.
        worst_of: the method whose worst cases are shown.
        worst: them.
    """

    training: list[TrainingCurve] = []
    retention_of: str = ""
    retention: list[RetentionCurve] = []
    calibration_of: str = ""
    calibration_source: str = ""
    calibration: list[PrecisionCurve] = []
    worst_of: str = ""
    worst: WorstCases | None = None
