"""What a score promises: thresholds and the precision that was measured above each of them.

Precision is that of an answer: of all streamers that score at least so much, the share that is
right. What counts as right, and on whom it was measured, is said in words beside the numbers.
"""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    """Base of everything in a manifest: strict, immutable, unknown fields refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Knot(Part):
    """A threshold and what was measured of the answers that reach it.

    Attributes:
        score: the cosine.
        precision: estimated share of right answers, monotone over the knots.
        at_least: the share that is promised: the one-sided 95 % confidence bound of the
            encoder that was measured. No such bound holds for one that was refitted since.
        answers: how many reach it per query, on average, in the gallery that was searched.
        pairs: how many labelled pairs this was measured on.
    """

    score: Annotated[float, Field(ge=-1.001, le=1.001)]
    precision: Share
    at_least: Share
    answers: Annotated[float, Field(ge=0)]
    pairs: Annotated[int, Field(gt=0)]


class Curve(Part):
    """Score to precision for queries that show a certain number of modalities.

    Attributes:
        fewest, most: modalities that the query shows, language aside; most = None for no bound.
        queries: how many it was measured with.
        knots: from the highest score to the lowest; neither precision nor promise ever rises.
    """

    fewest: Annotated[int, Field(ge=1)]
    most: int | None
    queries: Annotated[int, Field(gt=0)]
    knots: Annotated[list[Knot], Field(min_length=1)]

    @model_validator(mode="after")
    def _falls(self) -> Self:
        for upper, lower in zip(self.knots, self.knots[1:], strict=False):
            if lower.score >= upper.score:
                raise ValueError("knots must go from the highest score to the lowest")
            if lower.precision > upper.precision or lower.at_least > upper.at_least:
                raise ValueError("a lower score can't be more precise than a higher one")
        return self

    @property
    def strictest(self) -> Knot:
        """The lowest threshold of those with the highest promise."""
        return [knot for knot in self.knots if knot.at_least >= self.knots[0].at_least][-1]

    def threshold(self, precision: float) -> Knot | None:
        """The lowest threshold that promises a precision; None when none does."""
        return next((knot for knot in reversed(self.knots) if knot.at_least >= precision), None)

    def precision_from(self, score: float) -> float | None:
        """Estimated precision of the answers that score at least this, between knots linearly.

        None below the lowest knot, where nothing was measured.
        """
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
        """Whose curve it is, as `1 modality`, `2 to 3 modalities`."""
        if self.most is None:
            return "all streamers" if self.fewest == 1 else f"{self.fewest} modalities and more"
        if self.most > self.fewest:
            return f"{self.fewest} to {self.most} modalities"
        return "1 modality" if self.most == 1 else f"{self.most} modalities"


class ScoreCalibration(Part):
    """What one kind of score promises.

    Attributes:
        source: what counts as right and on whom it was measured; without curves, why there is none.
        base_rate: share of right pairs among all that were labelled, whatever they score.
        curves: the one for all queries first; empty when nothing could be measured.
    """

    source: str
    base_rate: Share | None
    curves: list[Curve]

    @model_validator(mode="after")
    def _begins_with_all(self) -> Self:
        if self.curves and (self.curves[0].fewest, self.curves[0].most) != (1, None):
            raise ValueError("the first curve must be the one for all queries")
        return self

    def curve(self, modalities: int | None) -> Curve | None:
        """The curve for a query that shows so many modalities; of all queries where unknown."""
        for curve in self.curves[1:]:
            if modalities is None:
                break
            if curve.fewest <= modalities and (curve.most is None or modalities <= curve.most):
                return curve
        return self.curves[0] if self.curves else None


class Calibration(Part):
    """What the scores of a model promise.

    Attributes:
        embedding: cosine of embeddings: similar streamers.
        content: cosine of content sketches: near-duplicates.
        shorter: the same as `embedding`, of embeddings that are cut to a width of the manifest's
            `dims`; by that width.
    """

    embedding: ScoreCalibration
    content: ScoreCalibration
    shorter: dict[str, ScoreCalibration] = Field(default_factory=dict[str, ScoreCalibration])
