"""Settings of baselines are chosen as an encoder's are: on the validation split."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from training.baselines.corpus import Corpus
from training.evaluation.setting import Setting
from training.evaluation.subject import Representation

Option = TypeVar("Option")


def best_fit(
    corpus: Corpus,
    options: Sequence[Option],
    fit: Callable[[Corpus, Option], Representation],
) -> Representation:
    """The fit with the option that has the best NDCG@20 on val, learned from train.

    Without a validation split, or behaviour to judge by, it is the first option. A corpus for the
    evaluation of val itself is chosen for on val too, so its figures there are flattering.

    Args:
        corpus: to fit in the end.
        options: settings, the default first; the earliest of equals is taken.
        fit: corpus and option -> the fitted baseline.
    """
    trial = corpus.selection
    held_out = trial.dataset.rows("val")
    task = Setting(trial.dataset, held_out, trial.known).neighbours if len(held_out) else None
    if task is None:
        return fit(corpus, options[0])
    values = []
    for option in options:
        representation = fit(trial, option)
        values.append(task.ndcg(representation.query, representation.gallery).mean())
    return fit(corpus, options[int(np.argmax(values))])
