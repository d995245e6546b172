"""Held-out streamers for whoever judges a model by how it ranks them."""

from pathlib import Path

import numpy as np

from model_export.errors import SourceError
from model_export.ranking_check import Trial
from training.data import load_dataset
from training.errors import TrainingError
from training.evaluation.setting import setting_of

_SHARE = 0.25
"""Of a trial's streamers that ask."""


def load_trial(folder: Path, most: int) -> Trial:
    """Cold streamers of the test split, and warm ones that they should find or not.

    Args:
        folder: a data set folder with behaviour.
        most: so many streamers, drawn at random if there are more.

    Raises:
        SourceError: it can't be read, or says nothing about who should be found.
    """
    try:
        dataset = load_dataset(folder)
        task = setting_of(dataset).neighbours
    except TrainingError as error:
        raise SourceError(str(error)) from error
    if task is None:
        raise SourceError(f"{folder} has no behaviour to judge a model by")
    rng = np.random.default_rng(0)
    queries = rng.permutation(len(task.queries))[: max(1, round(_SHARE * most))]
    # Who should be found comes first, then others.
    wanted = rng.permutation(np.unique(np.concatenate([task.relevant[q] for q in queries])))
    others = rng.permutation(np.setdiff1d(np.arange(len(task.gallery)), wanted))
    left = max(most - len(queries), 0)
    gallery = np.sort(np.concatenate([wanted[: left // 2], others])[:left])
    relevant = [np.flatnonzero(np.isin(gallery, task.relevant[q])) for q in queries]
    asking = [(task.queries[q], found) for q, found in zip(queries, relevant, strict=True)]
    asking = [(row, found) for row, found in asking if len(found)]
    return Trial(
        [dataset.profiles[int(row)] for row, _ in asking],
        [dataset.profiles[int(row)] for row in task.gallery[gallery]],
        [found for _, found in asking],
    )
