"""Precision by coverage, measured with queries whose words are replaced by unknown ones."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model_export.contract.calibration import Curve
from model_export.contract.features import Features, coverage_of
from model_export.contract.vocabulary import Vocabulary
from training.calibration.answers import find_answers
from training.calibration.curves import curve
from training.calibration.truth import Truth

SHARES = (0.05, 0.25, 0.5)
"""Shares of the queries whose coverage is below the lower end of each band. Nothing is promised
below the first end: nineteen of twenty streamers of the platform are above it."""
ENOUGH = 0.5
"""Coverage that is always measured: an encoder that knows half of a profile may be asked for it."""
FEWEST_IN_BAND = 50


@dataclass(frozen=True, eq=False)
class Veiled:
    """Queries, each as it is and once more with words replaced.

    Attributes:
        features: of Q queries, and of the same with words replaced (2Q,).
        least: lower ends of the bands of coverage, ascending.
    """

    features: Sequence[Features]
    least: Sequence[float]

    @property
    def coverage(self) -> NDArray[np.float64]:
        """Coverage of each query (2Q,)."""
        return np.array([each.coverage for each in self.features])


def veiled(queries: Sequence[Features], vocabulary: Vocabulary, seed: int) -> Veiled:
    """Replace words of each query until its coverage is a random one that is still measured."""
    shares = SHARES if len(queries) * SHARES[1] >= FEWEST_IN_BAND else SHARES[:1]
    own = [each.coverage for each in queries]
    ends = np.round(np.quantile(own, shares), 3)  # (bands,), ascending
    ends[0] = min(ends[0], ENOUGH)
    least = np.unique(ends).tolist()
    rng = np.random.default_rng(seed)
    changed = [
        veil(each, vocabulary, rng.uniform(min(least[0], each.coverage), each.coverage), rng)
        for each in queries
    ]
    return Veiled([*queries, *changed], least)


def veil(
    features: Features, vocabulary: Vocabulary, coverage: float, rng: np.random.Generator
) -> Features:
    """Replace as many known tokens, in random order, as leave at least a wanted coverage."""
    order = rng.permutation(np.flatnonzero(features.token_ids <= len(vocabulary.tokens)))

    def without(count: int) -> Features:
        ids = features.token_ids.copy()
        ids[order[:count]] = vocabulary.size - 1  # one of the ids for unknown tokens
        known = coverage_of(vocabulary, ids, features.token_modality, features.vectors_modality)
        return replace(features, token_ids=ids, coverage=known)

    counts = range(len(order) + 1)
    most = bisect_right(counts, -coverage, key=lambda count: -without(count).coverage) - 1
    return without(max(most, 0))


def curves_by_coverage(
    truth: Truth, queries: Veiled, query: NDArray[np.float32], gallery: NDArray[np.float32]
) -> list[Curve]:
    """Precision curves by coverage, from the lowest that was measured on.

    Args:
        truth: of the queries as they are.
        queries: as they are, and with words replaced.
        query: their unit vectors (2Q, D).
        gallery: unit vectors of the gallery (G, D).
    """
    count = len(truth.queries)
    twice = replace(
        truth,
        queries=np.tile(truth.queries, 2),
        query_weight=np.tile(truth.query_weight, 2),
        cluster=np.tile(truth.cluster, 2),
        is_right=lambda places: truth.is_right(places % count),
    )
    answers = find_answers(twice, query, gallery)
    found: list[Curve] = []
    for least, below in zip(queries.least, [*queries.least[1:], np.inf], strict=True):
        among = (queries.coverage >= least) & (queries.coverage < below)
        measured = curve(answers.of(among), 1, None)
        if measured is not None:
            found.append(measured.model_copy(update={"least_coverage": least}))
    return found
