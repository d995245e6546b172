"""The graph of own neighbours and its vote."""

import numpy as np

from model_export.contract.established import VOTERS
from service.engine.prediction.graph import choose_vote, neighbour_graph
from service.engine.prediction.linear import unit
from service.engine.prediction.neighbours import nearest
from tests.service.engine.prediction.worlds import world


def test_the_graph_is_mutual_and_its_rows_sum_to_one() -> None:
    vectors = world(count=200, cold=1).known.vectors
    graph = neighbour_graph(vectors, lambda: None)
    dense = np.zeros((200, 200))
    for row in range(200):
        part = slice(graph.indptr[row], graph.indptr[row + 1])
        dense[row, graph.indices[part]] = graph.weights[part]
    np.testing.assert_allclose(dense.sum(1), 1, atol=1e-5)
    assert ((dense > 0) == (dense.T > 0)).all()
    assert (np.diag(dense) == 0).all()
    cosines = unit(vectors) @ unit(vectors).T - 2 * np.eye(200)
    assert (dense[np.arange(200), cosines.argmax(1)] > 0).all()


def test_two_streamers_and_one() -> None:
    two = neighbour_graph(np.array([[1, 0], [1, 1]], np.float32), lambda: None)
    assert two.indices.tolist() == [1, 0]
    one = neighbour_graph(np.array([[1, 0]], np.float32), lambda: None)
    assert one.indptr.tolist() == [0, 0]


def test_the_vote_finds_more_of_the_nearest_by_own_vector_than_content_does() -> None:
    made = world(noise=0.3)
    vectors = made.known.vectors
    near = nearest(made.cold, made.known.embeddings, VOTERS)
    truth = nearest(unit(made.cold_vectors), unit(vectors), 20).places
    graph = choose_vote(neighbour_graph(vectors, lambda: None), near, list(truth))
    by_vote, by_content = [], []
    for row in range(len(made.cold)):
        scores = graph.count(near.places[row], graph.shares(near.scores[row])).scores()
        by_vote.append(len(np.intersect1d(np.argsort(-scores)[:20], truth[row])))
        by_content.append(len(np.intersect1d(near.places[row, :20], truth[row])))
    assert np.mean(by_vote) > np.mean(by_content)


def test_the_nearest_are_those_of_a_full_sort_however_many_are_compared() -> None:
    rng = np.random.default_rng(0)
    questions, known = (unit(rng.normal(size=(n, 8)).astype(np.float32)) for n in (500, 12_000))
    near = nearest(questions, known, 7)
    products = questions @ known.T
    exact = -np.sort(-products, axis=1)[:, :7]
    np.testing.assert_allclose(near.scores, exact, rtol=1e-4, atol=1e-5)
    assert (np.take_along_axis(products, near.places, 1) >= exact[:, -1:] - 1e-5).all()
