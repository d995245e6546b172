"""How far an own vector is trusted, by how much it was learned from."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.engine.prediction.linear import cosines, unit

LEAST_SAMPLES = 50
_BINS = 10
_LEAST_COSINE = 0.05


@dataclass(frozen=True)
class Shrinkage:
    """Shrinks an own vector towards the prediction (empirical Bayes, Efron & Morris 1973).

    Relative to the true vector, of length 1, an own vector has noise of variance `noise` / i after
    i interactions, and a prediction misses `rest`, whatever i is. Each counts by the inverse of its
    variance, so the own vector's share is i / (i + noise / rest).

    Attributes:
        noise: variance of an own vector after one interaction; 0: it was not learned, and the own
            vector alone counts.
        rest: variance of what content does not show.
    """

    noise: float = 0.0
    rest: float = 1.0

    @property
    def half(self) -> float:
        """Interactions at which own vector and prediction count alike."""
        return self.noise / self.rest

    def share(self, interactions: float) -> float:
        """Share of the own vector, 0..1."""
        if interactions <= 0:
            return 0.0
        return interactions / (interactions + self.half)

    def blend(
        self, own: NDArray[np.float32], predicted: NDArray[np.float32], interactions: float
    ) -> NDArray[np.float32]:
        """Own vector (E,) shrunk towards the prediction (E,); its length is between theirs."""
        share = self.share(interactions)
        if share == 0:
            return predicted
        mine = share * np.sqrt(1 + self.noise / interactions)
        other = (1 - share) * np.sqrt(1 + self.rest)
        direction = unit((mine * unit(own) + other * unit(predicted)).astype(np.float32))
        length = share * np.linalg.norm(own) + (1 - share) * np.linalg.norm(predicted)
        return (direction * length).astype(np.float32)

    def expected_cosine(self, interactions: float, told: float) -> float | None:
        """Expected cosine of a blend with the true vector; None where no noise was learned.

        With unit vectors o and p, own and predicted, whose cosines with the truth are
        c = 1 / sqrt(1 + noise / i) and `told`, and whose errors are independent (so that their
        cosine is c told), the blend is a o + b p, a = share / c and b = (1 - share) sqrt(1 + rest):

            (a c + b told) / sqrt(a² + b² + 2 a b c told)

        That is `told` without interactions, and 1 in the limit of many. Where `told` is what `rest`
        leaves of every prediction, 1 / sqrt(1 + rest), it is 1 / sqrt(1 + 1 / (i / noise + 1 /
        rest)).

        Args:
            interactions: that the own vector was learned from.
            told: expected cosine of the prediction with the true vector.
        """
        if self.noise <= 0:
            return None
        share = self.share(interactions)
        if share == 0:
            return told
        own = 1 / math.sqrt(1 + self.noise / interactions)
        mine, other = share / own, (1 - share) * math.sqrt(1 + self.rest)
        length = math.sqrt(mine**2 + other**2 + 2 * mine * other * own * told)
        return (mine * own + other * told) / length


def learn_shrinkage(
    own: NDArray[np.float32], predicted: NDArray[np.float32], interactions: NDArray[np.float32]
) -> Shrinkage:
    """Learn the curve from held-out streamers.

    With independent errors the mean cosine m of own and predicted vectors after i interactions is
    such that 1 / m² = (1 + rest) (1 + noise / i), a line over 1 / i.

    Args:
        own: (Q, E) learned vectors.
        predicted: (Q, E), made without them.
        interactions: (Q,), what the own vectors were learned from.
    """
    seen = np.flatnonzero(interactions > 0)
    if len(seen) < LEAST_SAMPLES:
        return Shrinkage()
    seen = seen[np.argsort(interactions[seen], kind="stable")]
    reached = cosines(own[seen], predicted[seen]).astype(np.float64)
    inverse = 1.0 / interactions[seen].astype(np.float64)
    bins = np.array_split(np.arange(len(seen)), _BINS)
    places = np.array([inverse[part].mean() for part in bins])
    heights = np.array([max(reached[part].mean(), _LEAST_COSINE) ** -2 for part in bins])
    if np.ptp(places) < 1e-9:
        return Shrinkage()
    # Low cosines vary much, and their inverse squares more: they count less.
    slope, begin = np.polyfit(places, heights, 1, w=1 / heights)
    begin = max(float(begin), 1.0 + 1e-3)
    return Shrinkage(max(float(slope), 0.0) / begin, begin - 1.0)
