"""Audience task: predict the users of a cold streamer."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from training.evaluation.metrics import ndcg
from training.evaluation.setting import Measured, Setting
from training.evaluation.subject import AudienceVote, Representation, search, top

DEPTH = 50
VOTERS = 50
"""Number of nearest warm streamers that vote for their audiences."""
VOTES = tuple(
    AudienceVote(temperature, sharing)
    for sharing in (0.5, 0.0, 1.0)
    for temperature in (0.1, 0.025, 0.05, 0.2, 0.4, 0.8)
)
"""Candidates chosen from on validation; the first is the default."""
_MOST_ASKED = 1000


@dataclass(frozen=True, eq=False)
class _Wanted:
    """Queries with their relevant users, and the audiences of the gallery.

    Attributes:
        queries: int64 (Q,), rows.
        users: per query, its users, at least one.
        watched: binary (G, U).
    """

    queries: NDArray[np.int64]
    users: list[NDArray[np.int64]]
    watched: sp.csr_matrix


def measure_audience(setting: Setting, representation: Representation) -> Measured | None:
    """NDCG@50 of users, and of a ranking by popularity; None if audiences are unknown.

    A user's score is the sum of the votes of the nearest warm streamers that the user watches. A
    vote is the softmax of score / (t · best score), which is independent of the scale of scores,
    divided by the size of the voter's audience to the power of s; t and s are chosen per method on
    validation. Non-positive scores have no vote. Users who watch no warm streamer can't be found
    and are excluded from the ground truth.
    """
    wanted = _wanted(setting, setting.queries)
    if wanted is None:
        return None
    popular = np.asarray(wanted.watched.sum(0), np.float32).ravel()
    everyone = np.tile(_best(popular), (len(wanted.queries), 1))
    if representation.user_scores is None:
        vote = representation.audience_vote or VOTES[0]
        found = _Ballot.of(setting, representation, wanted).users(vote)
    else:
        found = np.tile(_best(representation.user_scores), (len(wanted.queries), 1))
    per_query = {
        "NDCG@50": ndcg(found, wanted.users, DEPTH),
        "popularity NDCG@50": ndcg(everyone, wanted.users, DEPTH),
    }
    return Measured({n: float(v.mean()) for n, v in per_query.items()}, wanted.queries, per_query)


def choose_audience_vote(setting: Setting, representation: Representation) -> AudienceVote | None:
    """Choose the vote with the best NDCG@50; None if audiences are unknown or not used.

    Args:
        setting: validation split against train.
        representation: learned from train only.
    """
    if representation.user_scores is not None:
        return None
    step = -(-len(setting.queries) // _MOST_ASKED)
    wanted = _wanted(setting, setting.queries[:: max(step, 1)])
    if wanted is None:
        return None
    ballot = _Ballot.of(setting, representation, wanted)
    value = [ndcg(ballot.users(vote), wanted.users, DEPTH).mean() for vote in VOTES]
    return VOTES[int(np.argmax(value))]


def _wanted(setting: Setting, queries: NDArray[np.int64]) -> _Wanted | None:
    """Relevant users of these rows; None if no row has any."""
    if setting.audience is None:
        return None
    watched = sp.csr_matrix(setting.audience[setting.gallery])
    can_be_found = np.diff(watched.tocsc().indptr) > 0  # (U,)
    truth = sp.csr_matrix(setting.audience[queries])
    users = [truth.indices[a:b] for a, b in zip(truth.indptr[:-1], truth.indptr[1:], strict=True)]
    users = [each[can_be_found[each]].astype(np.int64) for each in users]
    asked = np.array([len(each) > 0 for each in users], bool)
    if not asked.any():
        return None
    return _Wanted(queries[asked], [each for each in users if len(each)], watched)


def _best(user_scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Best users (<= 50,) by score (U,)."""
    return top(np.ones((1, 1), np.float32), user_scores[:, None], DEPTH)[0]


@dataclass(frozen=True, eq=False)
class _Ballot:
    """Voters of Q queries.

    Attributes:
        near: int64 (Q, V), places in the gallery, best first.
        scores: float32 (Q, V), their scores.
        watches: streamers watched by each user, (U, G).
    """

    near: NDArray[np.int64]
    scores: NDArray[np.float32]
    watches: sp.csr_matrix

    @classmethod
    def of(cls, setting: Setting, representation: Representation, wanted: _Wanted) -> "_Ballot":
        query = representation.query[wanted.queries]
        found = search(query, representation.gallery[setting.gallery], VOTERS)
        return cls(*found, sp.csr_matrix(wanted.watched.T))

    def users(self, vote: AudienceVote) -> NDArray[np.int64]:
        """Best users per query (Q, <= 50), best first."""
        size = np.asarray(self.watches.sum(0)).ravel().clip(min=1)  # (G,)
        positive = self.scores.clip(0)  # (Q, V)
        best = np.maximum(positive[:, :1], np.finfo(np.float32).tiny)  # (Q, 1)
        weights = np.exp((positive / best - 1) / vote.temperature) * (positive > 0)
        weights = weights / size[self.near] ** vote.sharing
        votes = sp.csr_matrix(
            (
                weights.astype(np.float32).ravel(),
                self.near.ravel(),
                np.arange(len(self.near) + 1) * self.near.shape[1],
            ),
            (len(self.near), len(size)),
        )
        return top(votes, self.watches, DEPTH)
