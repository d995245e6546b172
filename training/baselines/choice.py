"""Choice of a baseline's settings on the validation split."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from training.baselines.corpus import Corpus
from training.evaluation.setting import Setting
from training.evaluation.subject import Representation

MOST_TRIALS = 8
"""Most settings that any baseline may try."""


@dataclass(frozen=True)
class Chosen:
    """Settings with the best result on validation.

    Attributes:
        settings: one candidate of each axis.
        judged: representation fitted on train with them; None if nothing was measured.
        setting: validation streamers against train; None without a validation split.
    """

    settings: tuple[Any, ...]
    judged: Representation | None = None
    setting: Setting | None = None


def choose(
    trial: Corpus, make: Callable[..., Representation], axes: Sequence[Sequence[Any]]
) -> Chosen:
    """Choose the settings with the best NDCG@20 on val when fitted on train.

    One axis is searched after the other, the others at their best so far; ties go to the earliest.
    The figure is the mean of the seen and the unseen gallery, or that of the seen one for methods
    that represent the gallery by behaviour. Without validation queries the defaults are used. For
    an evaluation on val itself, the choice is made on the same queries and is optimistic.

    Args:
        trial: corpus that is fitted on train only.
        make: (corpus, *settings) -> representation.
        axes: candidates of each setting, the default first.
    """
    settings = tuple(axis[0] for axis in axes)
    held_out = trial.dataset.rows("val")
    if not len(held_out):
        return Chosen(settings)
    setting = Setting(trial.dataset, held_out, trial.known)
    if setting.seen is None:
        return Chosen(settings)
    best = Chosen(settings, make(trial, *settings), setting)
    value = _value(best)
    for place, axis in enumerate(axes):
        at = best.settings
        for candidate in axis[1:]:
            tried = (*at[:place], candidate, *at[place + 1 :])
            found = Chosen(tried, make(trial, *tried), setting)
            if (reached := _value(found)) > value:
                best, value = found, reached
    return best


def _value(chosen: Chosen) -> float:
    made, setting = chosen.judged, chosen.setting
    if made is None or setting is None:
        return math.nan
    if made.reads_behaviour:
        assert setting.seen is not None
        return float(setting.seen.ndcg(made.query, made.gallery).mean())
    return setting.held_out.ndcg(made.query, made.gallery)
