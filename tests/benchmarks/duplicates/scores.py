"""Pairwise precision, recall and F1, by disguise too; thresholds; means over seeds."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.benchmarks.duplicates.adapters import Adapter
from tests.benchmarks.duplicates.corpora import Corpus

_T_975 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
"""97.5 % quantile of Student's t by degrees of freedom, from 1."""


@dataclass(frozen=True)
class Quality:
    """Shares of pairs; nan where there are none."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Harmonic mean."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both > 0 else 0.0


@dataclass(frozen=True)
class Scores:
    """What was found in a corpus at a threshold.

    Attributes:
        whole: of all pairs.
        by_disguise: of pairs with a copy in one disguise alone: false ones are all others that
            hold such a copy.
        look_alikes: share of pairs of honest look-alikes that were joined.
    """

    whole: Quality
    by_disguise: dict[str, Quality]
    look_alikes: float


def score(corpus: Corpus, adapter: Adapter, threshold: float) -> Scores:
    """Compare what was joined with the truth."""
    joined = adapter.joined(threshold)
    wrong = joined - corpus.true
    by_disguise = {}
    for kind, pairs in corpus.by_disguise.items():
        ids = {i for pair in pairs for i in pair}
        false = sum(adapter.weight(pair) for pair in wrong if not ids.isdisjoint(pair))
        by_disguise[kind] = _quality(len(pairs & joined), len(pairs), false)
    return Scores(
        _quality(len(joined & corpus.true), len(corpus.true), sum(map(adapter.weight, wrong))),
        by_disguise,
        len(joined & corpus.look_alikes) / len(corpus.look_alikes)
        if corpus.look_alikes
        else math.nan,
    )


def _quality(right: int, true: int, false: float) -> Quality:
    precision = right / (right + false) if right + false else math.nan
    return Quality(precision, right / true if true else math.nan)


def best_f1(corpus: Corpus, adapter: Adapter) -> float:
    """Threshold with the best pairwise F1."""
    return max(adapter.thresholds, key=lambda t: score(corpus, adapter, t).whole.f1)


def at_precision(corpus: Corpus, adapter: Adapter, precision: float) -> float:
    """Lowest threshold that is precise, as all above it; that of the best F1 where none is."""
    chosen = None
    for threshold in reversed(adapter.thresholds):
        found = score(corpus, adapter, threshold).whole.precision
        if found < precision:
            break
        chosen = threshold
    return best_f1(corpus, adapter) if chosen is None else chosen


def interval(values: Iterable[float]) -> str:
    """Mean over seeds with its 95 % interval, by Student's t."""
    found: Sequence[float] = [value for value in values if not math.isnan(value)]
    if not found:
        return "none"
    mean = statistics.fmean(found)
    if len(found) < 2:
        return f"{mean:.3f}"
    half = _T_975[min(len(found) - 2, 8)] * statistics.stdev(found) / math.sqrt(len(found))
    return f"{mean:.3f} ± {half:.3f}"
