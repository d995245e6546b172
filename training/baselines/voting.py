"""Cold-start vote of established streamers for baselines, as for trained encoders."""

from dataclasses import replace

import numpy as np

from training.baselines.corpus import Corpus
from training.cold_start.vote import Ballot, Vote, choose_vote, sampled, weighed
from training.evaluation.setting import Setting
from training.evaluation.subject import Representation, scaled, search, unit


def choose_baseline_vote(judged: Representation, trial: Corpus, setting: Setting) -> Vote | None:
    """Vote with the best NDCG@20 on val; None without behaviour, or if no vote is better.

    It is compared with the representation for the cold start, if the judged one has its own, on
    the queries that the vote is chosen by.

    Args:
        judged: fitted on train.
        trial: corpus that is fitted on train.
        setting: validation streamers against train.
    """
    teacher, task = trial.teacher, setting.seen
    if teacher is None or task is None:
        return None
    task = sampled(task, trial.seed)
    vote = choose_vote(_comparable(judged, trial), teacher, trial.edges, task, trial.seed)
    own = judged.cold_start or judged
    alone = float(task.ndcg(own.query, own.gallery).mean())
    return vote if vote.value > alone else None


def by_vote(made: Representation, corpus: Corpus, vote: Vote) -> Representation:
    """Cold-start representation of all streamers by votes of the known ones."""
    teacher = corpus.teacher
    assert teacher is not None
    edges = weighed(corpus.edges, teacher, vote)
    ballot = Ballot.of(_comparable(made, corpus), teacher.rows, edges, corpus.unknown)
    return Representation(*ballot.matrices(vote), reads_behaviour=True)


def _comparable(made: Representation, corpus: Corpus) -> Representation:
    """Scores on the scale of a vote: cosines, or shares of the query's best if asymmetric."""
    if made.is_symmetric:
        return Representation.symmetric(unit(made.query))
    best = search(made.query, made.gallery[corpus.known], 1)[1][:, 0]  # (N,)
    share = np.divide(1, best, out=np.zeros_like(best), where=best > 0)
    return replace(made, query=scaled(made.query, share))
