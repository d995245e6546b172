"""How far each of a teacher's vectors can be trusted, judged by what its streamer shows.

Who has another's vector (a mixed-up id, a bought account) agrees with its own content no better
than chance. A vector's agreement is its cosine to what ridge regression predicts from the content,
fitted on the other folds; chance is the agreement with somebody else's vector. With f the density
of the agreements and f0 that of chance, the share of vectors at an agreement a that are right is

    1 - pi0 f0(a) / f(a)

one minus the local false discovery rate (Efron 2004); f0 / f is estimated by isotonic regression,
pi0 from where chance dwells. Predictions improve once the wrong vectors count less, so it is
repeated. Nothing is lost where content and behaviour agree: then pi0 is near 0 and all are trusted.
Where content can't tell a vector from somebody else's at all, because there are few streamers or
they show little, it is no judge, and all are trusted too.

For a vector that is not trusted, the prediction may stand in: it is wrong about details, but right
about the neighbourhood.
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
"""Rows of the other folds that a prediction is fitted on, at most."""
_CHANCES = 5
"""Others' vectors that each prediction is compared with."""
_CAN_TELL = 1e-3
"""Largest p-value (Mann & Whitney 1947) with which content is taken to tell own from others'."""
_LOW = 0.25
"""Quantile of chance below which all agreements are taken for chance."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """What content says of N vectors.

    Attributes:
        vectors: float32 (N, E), unit rows, what was judged.
        trust: float32 (N,), the probability that each is its streamer's own.
        predicted: float32 (N, E), unit rows, what content predicts of each from the others; zero
            where nothing was predicted.
    """

    vectors: NDArray[np.float32]
    trust: NDArray[np.float32]
    predicted: NDArray[np.float32]

    @property
    def trusted(self) -> NDArray[np.bool_]:
        """Who is rather right than wrong (N,)."""
        return self.trust > 0.5

    def of(self, rows: NDArray[np.bool_]) -> "Judgement":
        """The same of a part of the rows (N,)."""
        return Judgement(self.vectors[rows], self.trust[rows], self.predicted[rows])

    @classmethod
    def blind(cls, vectors: NDArray[np.float32]) -> "Judgement":
        """All are trusted."""
        return cls(vectors, np.ones(len(vectors), np.float32), np.zeros_like(vectors))


def judge(content: NDArray[np.float32], vectors: NDArray[np.float32], seed: int) -> Judgement:
    """How far each vector can be trusted, and what content predicts in its place.

    Args:
        content: what they show (N, H).
        vectors: unit rows (N, E).
        seed: of the folds and of chance.
    """
    rng, rows = np.random.default_rng(seed), len(vectors)
    trust = np.ones(rows)
    if rows < 2 * _FOLDS:
        return Judgement.blind(vectors)
    fold = rng.permutation(rows) % _FOLDS
    others = [rng.permutation(rows) for _ in range(_CHANCES)]
    for turn in range(_ROUNDS):
        predicted = _held_out(content, vectors, fold, trust)
        own = _cosine(predicted, vectors)
        chance = np.concatenate([_cosine(predicted, vectors[other]) for other in others])
        if turn == 0 and mannwhitneyu(own, chance, alternative="greater").pvalue > _CAN_TELL:
            return Judgement.blind(vectors)
        trust = _own_rather_than_chance(own, chance)
    predicted = _held_out(content, vectors, fold, trust)
    length = np.linalg.norm(predicted, axis=1, keepdims=True)
    return Judgement(
        vectors, trust.astype(np.float32), (predicted / np.maximum(length, 1e-9)).astype(np.float32)
    )


def _held_out(
    content: NDArray[np.float32],
    vectors: NDArray[np.float32],
    fold: NDArray[np.int64],
    trust: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Each row's vector (N, E) as predicted by the other folds."""
    predicted = np.zeros_like(vectors)
    for part in range(_FOLDS):
        inside, outside = np.flatnonzero(fold == part), np.flatnonzero(fold != part)[:_FITTED]
        model = Ridge(alpha=_PENALTY)
        model.fit(content[outside], vectors[outside], sample_weight=trust[outside] + 1e-3)
        predicted[inside] = model.predict(content[inside])
    return predicted


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    length = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return ((a * b).sum(1) / np.maximum(length, 1e-9)).astype(np.float64)


def _own_rather_than_chance(
    own: NDArray[np.float64], chance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """1 - pi0 f0 / f at each own agreement (N,)."""
    is_own = np.concatenate([np.ones(len(own)), np.zeros(len(chance))])
    weight = np.concatenate([np.ones(len(own)), np.full(len(chance), len(own) / len(chance))])
    isotonic = IsotonicRegression(y_min=1e-3, y_max=1 - 1e-3, out_of_bounds="clip")
    isotonic.fit(np.concatenate([own, chance]), is_own, sample_weight=weight)
    share = isotonic.predict(own)  # f / (f + f0)
    chance_share = min(1.0, float((own <= np.quantile(chance, _LOW)).mean()) / _LOW)  # pi0
    return np.clip(1 - chance_share * (1 - share) / share, 0, 1)
