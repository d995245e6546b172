"""Compares two samples modality by modality; alarms have p-values, an effect, and examples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from model_export.contract.pieces import MODALITIES
from service.features.drift.permutations import (
    Floats,
    Tested,
    classifier_auc,
    expected_mixing,
    mean_difference,
    neighbour_mixing,
)
from service.features.drift.sample import FEWEST, Sample

Measure = Literal["absent", "unknown_tokens", "classifier", "neighbours"]
LEVEL = 0.01
"""Chance that nothing but chance raises any alarm at all."""
LEAST_EFFECT: dict[Measure, float] = {
    "absent": 0.05,
    "unknown_tokens": 0.05,
    "classifier": 0.05,
    "neighbours": 0.05,
}
"""Differences that are too small to matter, however sure they are."""
EMBEDDING = "embedding"
_EXAMPLES = 5
_BUCKETS = 64
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Finding:
    """What one comparison found.

    Attributes:
        modality: of the profiles, or `embedding`.
        measure: what was compared. `absent`: share of streamers without the modality;
            `unknown_tokens`: mean share of its tokens that the model does not know; `classifier`:
            how well the late ones can be told from the others by it (0.5 = not at all);
            `neighbours`: share of nearest neighbours that are of the same window.
        before: of the earlier streamers; where both windows are measured together, what is
            expected if they are alike.
        late: of the late ones; likewise what was found.
        p_value: of a permutation test.
        adjusted: p-value for all comparisons together (Holm 1979).
        is_alarm: whether it is both sure and large enough.
        examples: late streamers that show it most.
    """

    modality: str
    measure: Measure
    before: float
    late: float
    p_value: float
    adjusted: float
    is_alarm: bool
    examples: Sequence[str]


def find_drift(
    sample: Sample, seed: int, tell: Callable[[int, int], None] = lambda _done, _all: None
) -> list[Finding]:
    """All comparisons that the sample is large enough for, in the order of the modalities."""
    rng = np.random.default_rng(seed)
    found: list[Finding] = []
    for place, modality in enumerate(MODALITIES):
        found += _of_modality(sample, modality, rng)
        tell(place + 1, len(MODALITIES) + 1)
    rows = np.flatnonzero(sample.usable)
    if _enough(sample, rows):
        vectors, labels = sample.embedding[rows], sample.is_late[rows]
        tested = classifier_auc(vectors, labels, rng)
        found.append(_together(sample, rows, EMBEDDING, "classifier", tested, 0.5))
        tested, expected = neighbour_mixing(vectors, labels, rng), expected_mixing(labels)
        found.append(_together(sample, rows, EMBEDDING, "neighbours", tested, expected))
    tell(len(MODALITIES) + 1, len(MODALITIES) + 1)
    return _judged(found)


def _of_modality(sample: Sample, modality: str, rng: np.random.Generator) -> list[Finding]:
    everyone = np.arange(len(sample.ids))
    absent = np.array([f.status[modality] == "absent" for f in sample.features], np.float64)
    if absent.all():
        return []
    found = [_apart(sample, everyone, modality, "absent", absent, rng)]
    number = MODALITIES.index(modality) + 1
    unknown = np.full(len(everyone), np.nan)
    for row, features in enumerate(sample.features):
        tokens = features.token_ids[features.token_modality == number]
        if len(tokens):
            unknown[row] = float((tokens > sample.known_tokens).mean())
    rows = np.flatnonzero(~np.isnan(unknown))
    if _enough(sample, rows):
        found.append(_apart(sample, rows, modality, "unknown_tokens", unknown[rows], rng))
    rows = np.flatnonzero(absent == 0)
    if _enough(sample, rows):
        bags = np.stack([_bag(sample, row, number) for row in rows.tolist()])
        tested = classifier_auc(bags, sample.is_late[rows], rng)
        found.append(_together(sample, rows, modality, "classifier", tested, 0.5))
    return found


def _enough(sample: Sample, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> bool:
    late = int(sample.is_late[rows].sum())
    return min(late, len(rows) - late) >= FEWEST


def _bag(sample: Sample, row: int, number: int) -> Floats:
    """Tokens and vectors of a modality in few numbers, by signed hashing (Weinberger 2009)."""
    features = sample.features[row]
    bag = np.zeros(_BUCKETS)
    chosen = features.token_modality == number
    hashed = features.token_ids[chosen].astype(np.uint64) * _MIX >> np.uint64(40)
    signs = np.where(hashed & np.uint64(1), 1.0, -1.0)
    places = ((hashed >> np.uint64(1)) % np.uint64(_BUCKETS)).astype(np.int64)
    np.add.at(bag, places, signs * np.log1p(features.token_counts[chosen]))
    for vectors, modality in zip(features.vectors, features.vectors_modality, strict=True):
        shown = vectors[modality == number]
        if len(shown):
            mean = shown.mean(0)[:_BUCKETS].astype(np.float64)
            bag[: len(mean)] += mean / max(float(np.linalg.norm(mean)), 1e-9)
    return bag / max(float(np.linalg.norm(bag)), 1e-9)


def _apart(
    sample: Sample,
    rows: np.ndarray[tuple[int], np.dtype[np.int64]],
    modality: str,
    measure: Measure,
    values: Floats,
    rng: np.random.Generator,
) -> Finding:
    """A comparison of the means of both windows."""
    labels = sample.is_late[rows]
    tested = mean_difference(values, labels, rng)
    before, late = float(values[~labels].mean()), float(values[labels].mean())
    examples = _examples(sample, rows, tested.scores)
    return Finding(modality, measure, before, late, tested.p_value, 1.0, False, examples)


def _together(
    sample: Sample,
    rows: np.ndarray[tuple[int], np.dtype[np.int64]],
    modality: str,
    measure: Measure,
    tested: Tested,
    expected: float,
) -> Finding:
    """A statistic of both windows, against what is expected of it."""
    examples = _examples(sample, rows, tested.scores)
    return Finding(modality, measure, expected, tested.value, tested.p_value, 1.0, False, examples)


def _examples(
    sample: Sample, rows: np.ndarray[tuple[int], np.dtype[np.int64]], scores: Floats
) -> list[str]:
    order: list[int] = rows[np.argsort(-scores, kind="stable")].tolist()
    return [sample.ids[row] for row in order if sample.is_late[row]][:_EXAMPLES]


def _judged(found: Sequence[Finding]) -> list[Finding]:
    """With p-values adjusted for all of them (Holm 1979), and alarms."""
    order: list[int] = np.argsort([each.p_value for each in found], kind="stable").tolist()
    judged = list(found)
    least = 0.0
    for rank, place in enumerate(order):
        each = found[place]
        least = max(least, min(1.0, (len(found) - rank) * each.p_value))
        large = abs(each.late - each.before) >= LEAST_EFFECT[each.measure]
        is_alarm = least <= LEVEL and large
        judged[place] = replace(each, adjusted=least, is_alarm=is_alarm)
    return judged
