"""Label noise of a teacher: the probability that each vector is its streamer's own.

A streamer with another's vector (a mixed-up id, a sold account) agrees with its content no better
than chance. The agreement of a vector is its cosine to the prediction of a ridge regression from
content, fitted on the other folds; the chance distribution is the agreement with other streamers'
vectors. With the density f of agreements and f0 of chance agreements, the probability that a vector
with agreement a is correct is

    1 - pi0 f0(a) / f(a)

one minus the local false discovery rate (Efron 2004). f0 / f is estimated by isotonic regression,
pi0 from the low quantiles of f0. The estimate is iterated, since predictions improve when wrong
vectors count less. If content and behaviour agree, pi0 is near 0 and all vectors are trusted. If
content can't distinguish a vector from another streamer's at all, because there are few streamers
or little content, all vectors are trusted as well.

The prediction can replace an untrusted vector: it is inexact in detail but in the right region.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import Ridge

_FOLDS = 5
_ROUNDS = 4
_PENALTY = 3.0
_FITTED = 50_000
"""Most rows that a regression is fitted on, drawn at random."""
_CHANCES = 5
"""Number of other vectors that each prediction is compared with."""
_CAN_TELL = 1e-3
"""Largest p-value (Mann & Whitney 1947) at which content distinguishes own vectors."""
_LOW = 0.25
"""Quantile of the chance distribution below which all agreements count as chance."""


@dataclass(frozen=True, eq=False)
class NoiseEstimate:
    """Label-noise estimate of N vectors.

    Attributes:
        vectors: float32 (N, E), unit rows, the vectors themselves.
        trust: float32 (N,), probability that each vector is its streamer's own.
        predicted: float32 (N, E), unit rows predicted from content; zero where not predicted.
    """

    vectors: NDArray[np.float32]
    trust: NDArray[np.float32]
    predicted: NDArray[np.float32]

    @property
    def trusted(self) -> NDArray[np.bool_]:
        """Whether each vector is more likely correct than not (N,)."""
        return self.trust > 0.5

    def of(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "NoiseEstimate":
        """Estimate of a part of the rows (N,)."""
        return NoiseEstimate(self.vectors[rows], self.trust[rows], self.predicted[rows])

    @classmethod
    def blind(cls, vectors: NDArray[np.float32]) -> "NoiseEstimate":
        """Estimate that trusts all vectors."""
        return cls(vectors, np.ones(len(vectors), np.float32), np.zeros_like(vectors))


def estimate_noise(
    content: NDArray[np.float32], vectors: NDArray[np.float32], seed: int
) -> NoiseEstimate:
    """Estimate the label noise of vectors from content.

    Args:
        content: content vectors (N, H).
        vectors: unit rows (N, E).
        seed: of the folds, the fitted rows and the chance distribution.
    """
    rng, rows = np.random.default_rng(seed), len(vectors)
    trust = np.ones(rows)
    if rows < 2 * _FOLDS:
        return NoiseEstimate.blind(vectors)
    fold = rng.permutation(rows) % _FOLDS
    others = [rng.permutation(rows) for _ in range(_CHANCES)]
    for turn in range(_ROUNDS):
        predicted = _held_out(content, vectors, fold, trust, seed)
        own = _cosine(predicted, vectors)
        chance = np.concatenate([_cosine(predicted, vectors[other]) for other in others])
        if turn == 0 and mannwhitneyu(own, chance, alternative="greater").pvalue > _CAN_TELL:
            return NoiseEstimate.blind(vectors)
        trust = _own_rather_than_chance(own, chance)
    predicted = _held_out(content, vectors, fold, trust, seed)
    length = np.linalg.norm(predicted, axis=1, keepdims=True)
    return NoiseEstimate(
        vectors, trust.astype(np.float32), (predicted / np.maximum(length, 1e-9)).astype(np.float32)
    )


def _held_out(
    content: NDArray[np.float32],
    vectors: NDArray[np.float32],
    fold: NDArray[np.int64],
    trust: NDArray[np.float64],
    seed: int,
) -> NDArray[np.float32]:
    """Cross-validated predictions of the vectors (N, E)."""
    predicted = np.zeros_like(vectors)
    for part in range(_FOLDS):
        inside, outside = np.flatnonzero(fold == part), np.flatnonzero(fold != part)
        if len(outside) > _FITTED:
            rng = np.random.default_rng([seed, part])  # equal in every round
            outside = rng.choice(outside, _FITTED, replace=False)
        model = Ridge(alpha=_PENALTY)
        model.fit(content[outside], vectors[outside], sample_weight=trust[outside] + 1e-3)
        # Of a width of 1, scikit-learn predicts (n,) and not (n, 1).
        predicted[inside] = model.predict(content[inside]).reshape(len(inside), -1)
    return predicted


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    length = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return ((a * b).sum(1) / np.maximum(length, 1e-9)).astype(np.float64)


def _own_rather_than_chance(
    own: NDArray[np.float64], chance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Probability 1 - pi0 f0 / f of each agreement (N,)."""
    is_own = np.concatenate([np.ones(len(own)), np.zeros(len(chance))])
    weight = np.concatenate([np.ones(len(own)), np.full(len(chance), len(own) / len(chance))])
    isotonic = IsotonicRegression(y_min=1e-3, y_max=1 - 1e-3, out_of_bounds="clip")
    isotonic.fit(np.concatenate([own, chance]), is_own, sample_weight=weight)
    share = isotonic.predict(own)  # f / (f + f0)
    chance_share = min(1.0, float((own <= np.quantile(chance, _LOW)).mean()) / _LOW)  # pi0
    return np.clip(1 - chance_share * (1 - share) / share, 0, 1)
