"""Validation streamers on which the exporter accepts or refuses quantised graphs."""

from pathlib import Path

import numpy as np

from model_export.errors import SourceError
from model_export.ranking_check import Trial
from training.data import load_dataset
from training.data.passes import subset
from training.errors import TrainingError
from training.evaluation.setting import setting_of

_SHARE = 0.25
"""Share of a trial's streamers that are queries."""


def load_trial(folder: Path, most: int) -> Trial:
    """Queries of the validation split, and a gallery of training streamers.

    The test split is left alone, since graphs are chosen by the result. A refit encoder has learned
    from the validation streamers, so its NDCG on them is optimistic; what counts is how much a
    quantised graph loses against the full one.

    Args:
        folder: a data set folder with a validation split, and behaviour to tell who is relevant.
        most: number of streamers, drawn at random if there are more.

    Raises:
        SourceError: the folder can't be read, or has no validation split or no behaviour.
    """
    try:
        dataset = load_dataset(folder)
        task = setting_of(dataset, "val").seen
    except TrainingError as error:
        raise SourceError(str(error)) from error
    if task is None:
        raise SourceError(
            f"{folder} has no interactions, relations or ID-embeddings to tell who is relevant"
        )
    rng = np.random.default_rng(0)
    queries = rng.permutation(len(task.queries))[: max(1, round(_SHARE * most))]
    # Half of the gallery is relevant to some query, as far as there are enough.
    wanted = rng.permutation(np.unique(np.concatenate([task.relevant[q] for q in queries])))
    others = rng.permutation(np.setdiff1d(np.arange(len(task.gallery)), wanted))
    left = max(most - len(queries), 0)
    gallery = np.sort(np.concatenate([wanted[: left // 2], others])[:left])
    relevant = [np.flatnonzero(np.isin(gallery, task.relevant[q])) for q in queries]
    asking = [(task.queries[q], found) for q, found in zip(queries, relevant, strict=True)]
    asking = [(int(row), found) for row, found in asking if len(found)]
    searched = task.gallery[gallery]
    rows = np.union1d(np.array([row for row, _ in asking], np.int64), searched)
    profile = dict(zip(rows.tolist(), subset(dataset.profiles, rows), strict=True))
    return Trial(
        [profile[row] for row, _ in asking],
        [profile[row] for row in searched.tolist()],
        [found for _, found in asking],
    )
