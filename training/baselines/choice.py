"""Choice of a baseline's settings on the validation split."""

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
    """Fit with the option that has the best NDCG@20 on val when fitted on train.

    Without a validation split or behavioural ground truth the first option is used. For an
    evaluation on val itself the options are chosen on val as well, so those figures are optimistic.

    Args:
        corpus: corpus of the final fit.
        options: settings, the default first; ties go to the earliest.
        fit: (corpus, option) -> fitted baseline.
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
