"""Calibration of scores: thresholds, and the precision measured above each of them.

Precision at a threshold is the share of relevant streamers among all that score at least as much.
Each calibration states in words what counts as relevant and which streamers it was measured on.

The 95 % bounds hold for the encoder and the streamers they were measured with. Where an encoder was
refit on train + val afterwards, thresholds were mapped to its scale of scores and the bounds are
estimates without a guarantee; `ScoreCalibration.source` says so.
"""

from itertools import pairwise
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0, le=1)]

MIN_SHARED: Final = 2
"""Users, or related streamers, that relevant streamers have in common; one may be chance."""
RIGHT: Final = {
    "relations": f"at least {MIN_SHARED} related streamers in common",
    "interactions": f"at least {MIN_SHARED} users in common",
    "labels": "the same label",
}
"""What makes streamers relevant, by the table of a data set folder that tells it."""


class Part(BaseModel):
    """Base of all manifest models: strict, immutable, unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Knot(Part):
    """Threshold with the precision of the answers that reach it.

    Attributes:
        score: cosine.
        precision: estimated precision, monotone over the knots.
        at_least: one-sided 95 % lower confidence bound of the precision, for the encoder that was
            measured; an estimate without a guarantee after a refit.
        answers: mean number of answers per query in the gallery that was searched.
        pairs: number of labelled pairs.
    """

    score: Annotated[float, Field(ge=-1.001, le=1.001)]
    precision: Share
    at_least: Share
    answers: Annotated[float, Field(ge=0)]
    pairs: Annotated[int, Field(gt=0)]


class Curve(Part):
    """Precision by score, for queries with a certain number of modalities or a certain coverage.

    Attributes:
        fewest, most: modalities of the query, language aside; most = None means no upper bound.
        least_coverage: coverage of the query, see `Features`; None means any.
        queries: number of queries measured.
        knots: by descending score; precision and bound never rise.
    """

    fewest: Annotated[int, Field(ge=1)]
    most: int | None
    least_coverage: Share | None = None
    queries: Annotated[int, Field(gt=0)]
    knots: Annotated[list[Knot], Field(min_length=1)]

    @model_validator(mode="after")
    def _falls(self) -> Self:
        for upper, lower in zip(self.knots, self.knots[1:], strict=False):
            if lower.score >= upper.score:
                raise ValueError("knots must be in descending order of score")
            if lower.precision > upper.precision or lower.at_least > upper.at_least:
                raise ValueError("a lower score can't be more precise than a higher one")
        return self

    @property
    def strictest(self) -> Knot:
        """Lowest threshold among those with the highest lower bound."""
        return [knot for knot in self.knots if knot.at_least >= self.knots[0].at_least][-1]

    def threshold(self, precision: float) -> Knot | None:
        """Lowest threshold whose lower bound reaches a precision; None if no bound does."""
        return next((knot for knot in reversed(self.knots) if knot.at_least >= precision), None)

    def precision_from(self, score: float) -> float | None:
        """Estimated precision from a score on, linear between knots; None below the lowest knot."""
        knots = self.knots
        if score < knots[-1].score:
            return None
        upper = knots[0]
        if score >= upper.score:
            return upper.precision
        for lower in knots[1:]:
            if score >= lower.score:
                share = (score - lower.score) / (upper.score - lower.score)
                return lower.precision + share * (upper.precision - lower.precision)
            upper = lower
        return upper.precision

    def describe(self) -> str:
        """Group of queries in words, such as `1 modality` or `coverage of 0.4 and more`."""
        if self.least_coverage is not None:
            return f"coverage of {self.least_coverage:g} and more"
        if self.most is None:
            return "all streamers" if self.fewest == 1 else f"{self.fewest} modalities and more"
        if self.most > self.fewest:
            return f"{self.fewest} to {self.most} modalities"
        return "1 modality" if self.most == 1 else f"{self.most} modalities"


class ScoreCalibration(Part):
    """Calibration of one kind of score.

    Attributes:
        source: what counts as relevant and which streamers were measured; without curves, the
            reason.
        base_rate: share of relevant pairs among all labelled pairs.
        curves: the curve of all queries first; empty if nothing could be measured.
        by_coverage: curves of queries by `least_coverage`, ascending. Nothing is promised for
            queries below the first. Empty in bundles exported before coverage was measured.
    """

    source: str
    base_rate: Share | None
    curves: list[Curve]
    by_coverage: list[Curve] = Field(default_factory=list[Curve])

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.curves and (self.curves[0].fewest, self.curves[0].most) != (1, None):
            raise ValueError("the first curve must be the one for all queries")
        least = [curve.least_coverage for curve in self.by_coverage]
        if None in least or any(a >= b for a, b in pairwise(c for c in least if c is not None)):
            raise ValueError("curves by coverage must be in ascending order of least_coverage")
        return self

    @property
    def right(self) -> str:
        """What counted as relevant, in words, such as one of `RIGHT`."""
        return self.source.partition(";")[0].removeprefix("right = ")

    @property
    def least_coverage(self) -> float:
        """Coverage below which nothing is promised for a query."""
        return (self.by_coverage[0].least_coverage or 0.0) if self.by_coverage else 0.0

    def for_query(self, modalities: int | None, coverage: float | None) -> list[Curve]:
        """Curves that hold for a query, which all have to promise a precision.

        Args:
            modalities: number of its modalities; None = unknown.
            coverage: its coverage; None = unknown.
        """
        if coverage is not None and coverage < self.least_coverage:
            return []
        found = self.curves[:1]
        for curve in self.curves[1:]:
            if modalities is None:
                break
            if curve.fewest <= modalities and (curve.most is None or modalities <= curve.most):
                found = [curve]
                break
        if coverage is not None:
            found += [c for c in self.by_coverage if (c.least_coverage or 0) <= coverage][-1:]
        return found


class Calibration(Part):
    """Calibrations of a model.

    Attributes:
        embedding: cosine of embeddings, for similar streamers.
        content: cosine of content sketches, for near-duplicates.
        shorter: width in the manifest's `dims` -> cosine of embeddings cut to that width.
    """

    embedding: ScoreCalibration
    content: ScoreCalibration
    shorter: dict[str, ScoreCalibration] = Field(default_factory=dict[str, ScoreCalibration])
