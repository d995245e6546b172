import math
from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from training.cold_start.vote import Ballot, Vote, edges_of, graph_of, weighed
from training.evaluation.subject import Representation
from training.teachers.id_embeddings import Teacher
from training.teachers.label_noise import NoiseEstimate

AUDIENCE = sp.csr_matrix(
    np.array([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 1]], np.float32)
)


def teacher(audience: sp.csr_matrix | None) -> Teacher:
    vectors = np.array([[1, 0], [1, 0.1], [0.9, 0.2], [0, 1]], np.float32)
    return Teacher("test", np.array([1, 3, 4, 6]), vectors, audience)


def test_edges_join_those_who_share_an_audience_both_ways():
    edges = edges_of(teacher(AUDIENCE)).toarray()
    # 0 and 1 share two users, 0 and 2 too; 1 and 2 share but one, 3 shares none
    assert (edges > 0).tolist() == [
        [False, True, True, False],
        [True, False, False, False],
        [True, False, False, False],
        [False, False, False, False],
    ]
    np.testing.assert_allclose(edges.sum(1), [1, 1, 1, 0], rtol=1e-6)
    assert edges[0, 1] > 0


def test_without_audiences_the_id_embeddings_say_who_is_near():
    edges = edges_of(teacher(None)).toarray()
    assert (np.diag(edges) == 0).all()
    np.testing.assert_allclose(edges.sum(1), 1, rtol=1e-6)
    assert edges[0].argmax() == 1


def test_the_matrices_score_as_the_service_does():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((9, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[4] = 0  # established, shows nothing: can be found, can't vote
    rows, edges, vote = np.array([1, 3, 4, 6]), edges_of(teacher(AUDIENCE)), Vote(0.2, 0.5)
    asking = np.array([0, 4, 8])  # 4 shows nothing and doesn't ask
    query, gallery = Ballot.of(Representation.symmetric(vectors), rows, edges, asking).matrices(
        vote
    )
    scores = (query @ gallery.T).toarray()
    graph = graph_of(edges, vote)
    voters = np.array([0, 1, 3])
    for row in (0, 8):
        shares = graph.shares(vectors[rows[voters]] @ vectors[row])
        np.testing.assert_allclose(
            scores[row, rows], graph.count(voters, shares).scores(), rtol=1e-4
        )
        assert scores[row].sum() <= 1 + 1e-5
    assert not scores[[4, 1, 2, 3]].any()


def test_a_vote_that_was_not_measured_says_so():
    assert math.isnan(Vote().value)


def test_an_edge_counts_as_far_as_both_ends_are_trusted():
    clean = teacher(AUDIENCE)
    trust = np.array([1, 0.5, 0, 1], np.float32)
    noise = replace(NoiseEstimate.blind(clean.directions), trust=trust)
    doubted = replace(clean, noise=noise)
    plain = edges_of(doubted)
    assert weighed(plain, doubted, Vote(trusting=True)) is plain
    counted = weighed(plain, doubted, Vote(trusting=False)).toarray()
    np.testing.assert_allclose(counted[0], plain.toarray()[0] * [1, 0.5, 0, 1], rtol=1e-6)
    np.testing.assert_allclose(counted[1], 0.5 * plain.toarray()[1], rtol=1e-6)
    assert not counted[2].any()
