"""The graph of own neighbours and its vote."""

import numpy as np
import pytest

from model_export.contract.established import VOTERS, BehaviourGraph
from service.engine.prediction import graph as graph_module
from service.engine.prediction.graph import choose_vote, neighbour_graph, neighbours_of_held_out
from service.engine.prediction.linear import unit
from service.engine.prediction.neighbours import nearest
from service.engine.spaces.streamer_neighbours import StreamerNeighbours, shares_of
from tests.service.engine.prediction.worlds import world


def test_the_graph_is_mutual_and_its_rows_sum_to_one() -> None:
    vectors = world(count=200, cold=1).known.vectors
    graph = neighbour_graph(vectors, lambda: None)
    whole = dense(graph)
    np.testing.assert_allclose(whole.sum(1), 1, atol=1e-5)
    assert ((whole > 0) == (whole.T > 0)).all()
    assert (np.diag(whole) == 0).all()
    cosines = unit(vectors) @ unit(vectors).T - 2 * np.eye(200)
    assert (whole[np.arange(200), cosines.argmax(1)] > 0).all()


def dense(graph: BehaviourGraph) -> np.ndarray:
    """The graph (n, n) in full."""
    count = len(graph.indptr) - 1
    made = np.zeros((count, count))
    for row in range(count):
        part = slice(graph.indptr[row], graph.indptr[row + 1])
        made[row, graph.indices[part]] = graph.weights[part]
    return made


def test_neighbours_that_were_handed_over_go_before_cosines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors = world(count=60, cold=1).known.vectors
    draw = np.random.default_rng(4)
    lengths = draw.integers(0, 8, 60) * (np.arange(60) % 3 > 0)  # a third has none, and some others
    rows = np.concatenate(
        [np.setdiff1d(draw.permutation(60), [own])[:size] for own, size in enumerate(lengths)]
    )
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    given = draw.uniform(0.1, 1, len(rows))
    shares = shares_of(given, lengths)
    handed = StreamerNeighbours(indptr, rows.astype(np.int32), shares)
    cosines = unit(vectors) @ unit(vectors).T
    np.fill_diagonal(cosines, -1)
    directed = np.zeros((60, 60))
    for own, size in enumerate(lengths):
        if size:
            part = slice(indptr[own], indptr[own + 1])
            directed[own, rows[part]] = shares[part]
            continue
        nearest_20 = np.argsort(-cosines[own])[:20]
        directed[own, nearest_20] = cosines[own, nearest_20].clip(0) / cosines[own].max()
    mutual = np.maximum(directed, directed.T)
    expected = mutual / mutual.sum(axis=1, keepdims=True)
    found = neighbour_graph(vectors, lambda: None, handed)
    np.testing.assert_allclose(dense(found), expected, atol=1e-5)
    monkeypatch.setattr(graph_module, "_ROWS", 7)
    again = neighbour_graph(vectors, lambda: None, handed)
    np.testing.assert_array_equal(again.indptr, found.indptr)
    np.testing.assert_array_equal(again.indices, found.indices)
    np.testing.assert_allclose(again.weights, found.weights, rtol=1e-6)


def test_whoever_is_in_all_lists_has_few_edges_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(graph_module, "_MOST_EDGES", 3)
    weights = np.linspace(0.2, 1, 9)  # of 1 to 9 for 0, whom 0 does not name
    lengths = np.array([0, *[2] * 9])
    rows = np.array([[0, own % 9 + 1] for own in range(1, 10)], np.int32).ravel()
    shares = np.stack([weights, np.ones(9)], 1).ravel().astype(np.float16)
    handed = StreamerNeighbours(np.concatenate([[0], np.cumsum(lengths)]), rows, shares)
    found = dense(graph_module._mutual(handed, lambda: None))
    assert np.flatnonzero(found[0]).tolist() == [7, 8, 9]
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert (found[1:, 0] > 0).all()


def test_held_out_should_find_the_neighbours_that_they_were_handed_over_with() -> None:
    vectors = world(count=10, cold=1).known.vectors
    indptr = np.array([0, 3, 3, 4, *[4] * 7])
    handed = StreamerNeighbours(
        indptr, np.array([5, 7, 2, 0], np.int32), np.array([0.5, 1, 0.7, 1], np.float16)
    )
    held, train = np.array([0, 1, 2]), np.arange(3, 10)
    first, second, third = neighbours_of_held_out(vectors, held, train, handed)
    assert first.tolist() == [7 - 3, 5 - 3]  # 2 is held out itself
    assert second.tolist() == nearest(unit(vectors[1:2]), unit(vectors[3:]), 20).places[0].tolist()
    assert third.tolist() == []


def test_two_streamers_and_one() -> None:
    two = neighbour_graph(np.array([[1, 0], [1, 1]], np.float32), lambda: None)
    assert two.indices.tolist() == [1, 0]
    one = neighbour_graph(np.array([[1, 0]], np.float32), lambda: None)
    assert one.indptr.tolist() == [0, 0]


@pytest.mark.slow
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
