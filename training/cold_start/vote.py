"""Cold-start vote of established streamers (`model_export.contract.established`).

The scale of cosines depends on the encoder's training, so the temperature of the vote and a voter's
own share are chosen on validation.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from model_export.contract.established import VOTERS, BehaviourGraph
from training.evaluation.subject import Representation, search, shown
from training.evaluation.tasks import ColdStartTask
from training.mining.positives import IdSpace, SharedAudience
from training.numeric.topk import neighbour_graph
from training.teachers.id_embeddings import Teacher

NEIGHBOURS = 20
"""Edges per streamer before symmetrisation; equal to the depth of the primary task."""
_TEMPERATURES = (0.015, 0.03, 0.06, 0.12, 0.25)
_OWN_SHARES = (0.2, 0.05, 0.5, 1.5)
_QUERIES = 1000
_ID_TEMPERATURE = 0.1


@dataclass(frozen=True)
class Vote:
    """Parameters of the cold-start vote.

    Attributes:
        temperature: of the softmax over cosines.
        own_share: weight of a voter for itself.
        trusting: whether edges count in full, or weighted by the label trust of both ends.
        value: NDCG@20 on validation; NaN if not measured.
    """

    temperature: float = 0.03
    own_share: float = 0.2
    trusting: bool = True
    value: float = float("nan")


def edges_of(teacher: Teacher) -> sp.csr_matrix:
    """Behaviour graph (N, N) of a teacher's N streamers; each row sums to 1 or is empty.

    Edges are neighbours by shared audience, weighted by the share of the best cosine, or neighbours
    by ID-embedding if audiences are unknown. The graph is symmetric before normalisation.
    """
    near, weights = np.zeros((0, 0), np.int32), np.zeros((0, 0), np.float32)
    if teacher.audience is not None:
        near, weights = SharedAudience(teacher.audience, 1.0).candidates(NEIGHBOURS)
    if not weights.any():
        space = IdSpace(teacher.directions, _ID_TEMPERATURE, 1.0)
        near, weights = space.candidates(NEIGHBOURS)
    edges = neighbour_graph(near, weights)
    total = np.asarray(edges.sum(1)).ravel()
    return sp.csr_matrix(sp.diags_array(1 / np.maximum(total, 1e-12)) @ edges)


def weighed(edges: sp.csr_matrix, teacher: Teacher, vote: Vote) -> sp.csr_matrix:
    """Edges (N, N) in full, or weighted by the label trust of both ends."""
    if vote.trusting or teacher.behaviour_noise is None:
        return edges
    trust = sp.diags_array(teacher.behaviour_noise.trust.astype(np.float64))
    edges = sp.csr_matrix(trust @ edges @ trust)
    edges.eliminate_zeros()
    return edges


def choose_vote(
    content: Representation, teacher: Teacher, edges: sp.csr_matrix, task: ColdStartTask, seed: int
) -> Vote:
    """Choose the vote with the best NDCG@20 on held-out queries; the default without queries.

    Args:
        content: of M streamers, with scores up to about 1, such as cosines.
        teacher: of the N established streamers.
        edges: behaviour graph of the teacher (N, N).
        task: held-out queries against streamers that were learned from.
        seed: of the sample of queries.
    """
    if not len(task.queries):
        return Vote()
    sample = sampled(task, seed)
    ballot = Ballot.of(content, teacher.rows, edges, sample.queries)

    def best(votes: Iterable[Vote]) -> Vote:
        def measured(vote: Vote) -> Vote:
            counted = replace(ballot, edges=weighed(edges, teacher, vote))
            return replace(vote, value=float(sample.ndcg(*counted.matrices(vote)).mean()))

        return max(map(measured, votes), key=lambda vote: vote.value)  # the first of equals

    vote = best(Vote(temperature) for temperature in _TEMPERATURES)
    vote = best(replace(vote, trusting=trusting) for trusting in (True, False))
    return best(replace(vote, own_share=share) for share in _OWN_SHARES)


def sampled(task: ColdStartTask, seed: int) -> ColdStartTask:
    """Task with at most 1,000 of its queries, drawn by a seed, so that choosing takes seconds."""
    if len(task.queries) <= _QUERIES:
        return task
    rng = np.random.default_rng(seed)
    kept = np.sort(rng.choice(len(task.queries), _QUERIES, replace=False))
    return ColdStartTask(task.queries[kept], task.gallery, [task.relevant[i] for i in kept])


@dataclass(frozen=True, eq=False)
class Ballot:
    """Voters of each query among M streamers, N of them established.

    Attributes:
        asking: int64 (Q,), rows of the queries.
        voters: int64 (Q, V), places of the most similar established streamers, best first.
        cosines: float32 (Q, V), their cosines.
        rows: int64 (N,), rows of the established streamers.
        edges: (N, N), behaviour graph.
        size: M.
    """

    asking: NDArray[np.int64]
    voters: NDArray[np.int64]
    cosines: NDArray[np.float32]
    rows: NDArray[np.int64]
    edges: sp.csr_matrix
    size: int

    @classmethod
    def of(
        cls,
        content: Representation,
        rows: NDArray[np.int64],
        edges: sp.csr_matrix,
        asking: NDArray[np.int64],
    ) -> "Ballot":
        """Find the voters by content; zero rows are neither queries nor voters."""
        asks, votes = shown(content.query), shown(content.gallery)
        asking, able = asking[asks[asking]], np.flatnonzero(votes[rows])
        near, cosines = search(content.query[asking], content.gallery[rows[able]], VOTERS)
        return cls(asking, able[near], cosines, rows, edges, len(asks))

    def matrices(self, vote: Vote) -> tuple[sp.csr_matrix, sp.csr_matrix]:
        """Query and gallery matrices (M, N) whose inner products are the scores of the vote.

        A query row holds the weights of its voters, a gallery row the votes for that streamer.
        """
        weights = np.exp((self.cosines - self.cosines[:, :1]) / vote.temperature)
        shares = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
        at = (np.repeat(self.asking, shares.shape[1]), self.voters.ravel())
        query = sp.csr_matrix((shares.ravel(), at), (self.size, len(self.rows)))
        own = sp.diags_array(np.full(len(self.rows), vote.own_share))
        given = sp.coo_matrix((self.edges + own).T / (1 + vote.own_share), dtype=np.float32)
        gallery = sp.csr_matrix(
            (given.data, (self.rows[given.row], given.col)), (self.size, len(self.rows))
        )
        return query, gallery


def graph_of(edges: sp.csr_matrix, vote: Vote) -> BehaviourGraph:
    """Edges (N, N) and vote parameters in the format of a bundle."""
    return BehaviourGraph(
        np.asarray(edges.indptr, np.int64),
        np.asarray(edges.indices, np.int32),
        np.asarray(edges.data, np.float32),
        vote.temperature,
        vote.own_share,
    )
