"""Baselines that ignore content."""

import numpy as np

from training.baselines.corpus import Corpus
from training.errors import UsageError
from training.evaluation.subject import Representation


def random(corpus: Corpus) -> Representation:
    """Random vectors."""
    rng = np.random.default_rng(corpus.seed)
    return Representation.symmetric(
        rng.standard_normal((len(corpus.dataset.ids), 32)).astype(np.float32)
    )


def popularity(corpus: Corpus) -> Representation:
    """Ranking by audience size for all queries, and of users by the number of streamers watched.

    Raises:
        UsageError: no audiences are known.
    """
    if corpus.audience is None:
        raise UsageError(
            f"{corpus.dataset.folder} has neither interactions nor relations to count audiences by"
        )
    size = np.asarray(corpus.audience.sum(1), np.float32).reshape(-1, 1)
    watched = np.asarray(corpus.audience.sum(0), np.float32).ravel()
    return Representation(np.ones_like(size), size, user_scores=watched, reads_behaviour=True)
