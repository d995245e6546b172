"""The baselines by name. To add one, write its function and list it here."""

from collections.abc import Callable
from dataclasses import dataclass

from training.baselines.behaviour import cca, knn_id, lexical_and_ridge, ridge, ridge_id
from training.baselines.corpus import Corpus
from training.baselines.lexical import bm25, svd, tf_idf_cosine
from training.baselines.text import pretrained_text
from training.baselines.trivial import popularity, random
from training.errors import UsageError
from training.evaluation.subject import Representation


@dataclass(frozen=True)
class Baseline:
    """How a baseline is made.

    Attributes:
        fit: corpus -> the representation; a UsageError where the data lacks what it needs.
        random: whether another seed gives another result.
    """

    fit: Callable[[Corpus], Representation]
    random: bool = False


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
