"""The baselines by name. To add one, write its function and list it here."""

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
    """How a baseline is made.

    Attributes:
        make: corpus -> the representation; a UsageError where the data lacks what it needs.
        random: whether another seed gives another result.
    """

    make: Callable[[Corpus], Representation]
    random: bool = False

    def fit(self, corpus: Corpus) -> Representation:
        """The baseline of a corpus, with what its scores say of users chosen on val.

        Raises:
            UsageError: the data lacks what it needs.
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
    """The baseline of that name.

    Raises:
        UsageError: there is none; the names are listed.
    """
    if name not in BASELINES:
        raise UsageError(f"--baseline {name}: unknown; the baselines are {', '.join(BASELINES)}")
    return BASELINES[name]
