"""Evaluation of a representation on all tasks with ground truth."""

from collections.abc import Callable

from training.data import Dataset
from training.evaluation.audience import measure_audience
from training.evaluation.duplicates import measure_duplicates
from training.evaluation.labels import measure_labels
from training.evaluation.neighbours import (
    measure_cold_start,
    measure_seen,
    measure_unseen,
    measure_vectors,
)
from training.evaluation.result import Evaluation
from training.evaluation.setting import Measured, Setting, Split, setting_of
from training.evaluation.subject import Representation

TASKS: dict[str, Callable[[Setting, Representation], Measured | None]] = {
    "seen": measure_seen,
    "unseen": measure_unseen,
    "cold start": measure_cold_start,
    "audience": measure_audience,
    "duplicates": measure_duplicates,
    "labels": measure_labels,
    "vectors": measure_vectors,
}
"""Task -> measurement, None without ground truth."""


def evaluate(
    dataset: Dataset,
    representation: Representation,
    *,
    split: Split = "test",
    subject: str = "",
    seed: int = 0,
) -> Evaluation:
    """Evaluate one method: cold streamers of a split search the known, or each other.

    Args:
        dataset: N streamers.
        representation: of all N.
        split: "test" against train + val, or "val" against train.
        subject: name of the method.
        seed: of the fit.

    Raises:
        UsageError: the split is empty.
    """
    setting = setting_of(dataset, split)
    measured = {name: measure(setting, representation) for name, measure in TASKS.items()}
    found = {name: each for name, each in measured.items() if each is not None}
    return Evaluation(
        data=dataset.folder.resolve().name,
        digest=dataset.digest,
        subject=subject,
        seed=seed,
        split=split,
        summary={name: each.summary for name, each in found.items()},
        per_query={name: {"query": each.queries, **each.per_query} for name, each in found.items()},
    )
