"""Registry of baselines; a new baseline is a function, listed here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

from training.baselines.behaviour import FULL, cca, knn_id, lexical_and_ridge, ridge, ridge_id
from training.baselines.choice import Chosen, choose
from training.baselines.corpus import Corpus
from training.baselines.kernel import kernel
from training.baselines.lexical import bm25, svd, tf_idf_cosine
from training.baselines.peers import clcrec, dropoutnet, heater, lightfm, two_tower
from training.baselines.text import lexical_and_text, pretrained_text
from training.baselines.trivial import popularity, random
from training.baselines.voting import by_vote, choose_baseline_vote
from training.errors import UsageError
from training.evaluation.audience import choose_audience_vote
from training.evaluation.subject import Representation

_PENALTIES = (3.0, 0.3, 1.0, 10.0, 30.0)
_TARGETS = (256, 64)


@dataclass(frozen=True)
class Baseline:
    """A baseline.

    Attributes:
        make: (corpus, *settings) -> representation; raises UsageError if the data set lacks
            something.
        axes: candidates of each setting, the default first; see `choice.choose`.
        random: whether the result depends on the seed; that of `kernel` does where it draws
            landmarks, in data sets of more than `corpus.MOST_EXACT` streamers.
        votes: whether its nearest may vote at a cold start.
    """

    make: Callable[..., Representation]
    axes: tuple[Sequence[Any], ...] = ()
    random: bool = False
    votes: bool = True

    def fit(self, corpus: Corpus) -> Representation:
        """Fit the baseline; settings, audience vote and cold-start vote are chosen on val.

        Raises:
            UsageError: the data set lacks something that the baseline needs.
        """
        trial = corpus.selection
        chosen = choose(trial, self.make, self.axes)
        made = chosen.judged if trial is corpus else None
        made = made or self.make(corpus, *chosen.settings)
        named = dict(zip(list(signature(self.make).parameters)[1:], chosen.settings, strict=True))
        return replace(self._voting(made, chosen, corpus), settings=named)

    def _voting(self, made: Representation, chosen: Chosen, corpus: Corpus) -> Representation:
        """Representation with the votes that are best for the judged one."""
        if chosen.judged is None or chosen.setting is None:
            return made
        if chosen.setting.audience is not None:
            audience_vote = choose_audience_vote(chosen.setting, chosen.judged)
            made = replace(made, audience_vote=audience_vote)
        if not self.votes:
            return made
        vote = choose_baseline_vote(chosen.judged, corpus.selection, chosen.setting)
        return made if vote is None else replace(made, cold_start=by_vote(made, corpus, vote))


BASELINES = {
    "random": Baseline(random, random=True, votes=False),
    "popularity": Baseline(popularity, votes=False),
    "tf-idf": Baseline(tf_idf_cosine),
    "bm25": Baseline(bm25, ((1.2, 0.6, 2.5), (0.75, 0.3, 0.0))),
    "svd": Baseline(svd, ((256, 128, 64),)),
    "text": Baseline(pretrained_text),
    "lexical+text": Baseline(lexical_and_text, ((2.0, 1.0, 4.0, 0.5),)),
    "ridge": Baseline(ridge, (_PENALTIES, _TARGETS)),
    "kernel": Baseline(kernel, ((2.0, 1.0, 4.0), (0.3, 0.1, 1.0), _TARGETS), random=True),
    "cca": Baseline(cca, ((1e-1, 1e-2, 1.0), (64, 256))),
    "lexical+ridge": Baseline(lexical_and_ridge, ((1.0, 0.5, 2.0, 4.0), (3.0, 0.3, 1.0, 10.0))),
    "knn-id": Baseline(knn_id, ((20, 50, 150), (FULL, 256))),
    "ridge-id": Baseline(ridge_id, (_PENALTIES, _TARGETS)),
    "dropoutnet": Baseline(
        dropoutnet, ((0.5, 0.2, 0.8), (2e-3, 5e-4, 5e-3), (60, 20, 120)), random=True
    ),
    "clcrec": Baseline(clcrec, ((0.2, 0.1, 0.4), (5e-3, 2e-3, 1e-2), (15, 5, 30)), random=True),
    "heater": Baseline(heater, ((10.0, 1.0, 100.0), (3e-3, 1e-3, 1e-2), (8, 4, 16)), random=True),
    "two-tower": Baseline(
        two_tower, ((0.2, 0.1, 0.4), (3e-3, 1e-3, 1e-2), (8, 4, 16)), random=True
    ),
    "lightfm": Baseline(lightfm, ((128, 64, 256), (1e-2, 3e-3, 3e-2), (20, 10, 40)), random=True),
}


def find_baseline(name: str) -> Baseline:
    """Baseline by name.

    Raises:
        UsageError: the baseline is unknown; the message lists all names.
    """
    if name not in BASELINES:
        raise UsageError(f"--baseline {name}: unknown; the baselines are {', '.join(BASELINES)}")
    return BASELINES[name]
