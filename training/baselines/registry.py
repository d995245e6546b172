"""Registry of baselines; a new baseline is a function, listed here."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from training.baselines.behaviour import cca, knn_id, lexical_and_ridge, ridge, ridge_id
from training.baselines.corpus import Corpus
from training.baselines.lexical import bm25, svd, tf_idf_cosine
from training.baselines.text import pretrained_text
from training.baselines.trivial import popularity, random
from training.errors import UsageError
from training.evaluation.audience import choose_audience_vote
from training.evaluation.setting import Setting
from training.evaluation.subject import Representation


@dataclass(frozen=True)
class Baseline:
    """A baseline.

    Attributes:
        make: corpus -> representation; raises UsageError if the data set lacks something.
        random: whether the result depends on the seed.
    """

    make: Callable[[Corpus], Representation]
    random: bool = False

    def fit(self, corpus: Corpus) -> Representation:
        """Fit the baseline, and choose its audience vote on val.

        Raises:
            UsageError: the data set lacks something that the baseline needs.
        """
        made, trial = self.make(corpus), corpus.selection
        held_out = trial.dataset.rows("val")
        if trial.audience is None or not len(held_out) or made.user_scores is not None:
            return made
        judged = made if trial is corpus else self.make(trial)
        setting = Setting(trial.dataset, held_out, trial.known)
        return replace(made, audience_vote=choose_audience_vote(setting, judged))


BASELINES = {
    "random": Baseline(random, random=True),
    "popularity": Baseline(popularity),
    "tf-idf": Baseline(tf_idf_cosine),
    "bm25": Baseline(bm25),
    "svd": Baseline(svd),
    "text": Baseline(pretrained_text),
    "ridge": Baseline(ridge),
    "cca": Baseline(cca),
    "lexical+ridge": Baseline(lexical_and_ridge),
    "knn-id": Baseline(knn_id),
    "ridge-id": Baseline(ridge_id),
}


def find_baseline(name: str) -> Baseline:
    """Baseline by name.

    Raises:
        UsageError: the baseline is unknown; the message lists all names.
    """
    if name not in BASELINES:
        raise UsageError(f"--baseline {name}: unknown; the baselines are {', '.join(BASELINES)}")
    return BASELINES[name]
