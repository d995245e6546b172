import io
from typing import Any

import numpy as np
import pytest

from model_export.contract.errors import BundleError
from model_export.contract.established import BehaviourGraph, Established

# 0 -> 1 (.75), 2 (.25);  1 -> 0;  2 -> nobody
GRAPH = BehaviourGraph(
    indptr=np.array([0, 2, 3, 3]),
    indices=np.array([1, 2, 0], np.int32),
    weights=np.array([0.75, 0.25, 1.0], np.float32),
    temperature=0.1,
    own_share=0.25,
)
ESTABLISHED = Established(["a", "ü", "c"], np.eye(3, 4, dtype=np.float32), GRAPH)


def dense() -> np.ndarray:
    matrix = np.zeros((3, 3))
    for row in range(3):
        entries = slice(GRAPH.indptr[row], GRAPH.indptr[row + 1])
        matrix[row, GRAPH.indices[entries]] = GRAPH.weights[entries]
    return matrix


def test_the_votes_are_what_the_formula_says() -> None:
    voters, cosines = np.array([2, 0, 1]), np.array([0.5, 0.7, 0.1], np.float32)
    shares = GRAPH.shares(cosines)
    expected = np.exp(cosines / 0.1) / np.exp(cosines / 0.1).sum()
    np.testing.assert_allclose(shares, expected, rtol=1e-5)
    own = (dense() + 0.25 * np.eye(3)) / 1.25
    found = GRAPH.count(voters, shares).scores()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, shares @ own[voters], rtol=1e-5)


def test_those_who_gave_most_lead() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        rows = int(rng.integers(2, 12))
        edges = rng.random((rows, rows)) * (rng.random((rows, rows)) < 0.5)
        np.fill_diagonal(edges, 0)
        at = np.nonzero(edges)
        graph = BehaviourGraph(
            np.concatenate([[0], np.cumsum((edges > 0).sum(1))]),
            at[1].astype(np.int32),
            edges[at].astype(np.float32),
            temperature=0.1,
            own_share=0.25,
        )
        voters = rng.permutation(rows)[: rng.integers(1, rows + 1)]
        shares = graph.shares(rng.random(len(voters)).astype(np.float32))
        wanted = rng.permutation(rows)[: rng.integers(0, rows + 1)]
        given = (edges + 0.25 * np.eye(rows))[voters] * shares[:, None]  # (V, N)
        expected = [
            [int(i) for i in np.argsort(-given[:, row], kind="stable")[:3] if given[i, row] > 0]
            for row in wanted
        ]
        assert graph.count(voters, shares).leading(wanted, 3) == expected


def test_nobody_votes() -> None:
    shares = GRAPH.shares(np.zeros(0, np.float32))
    tally = GRAPH.count(np.zeros(0, np.int64), shares)
    assert tally.scores().tolist() == [0, 0, 0]
    assert tally.leading(np.array([1]), 3) == [[]]


def test_what_was_dumped_is_parsed() -> None:
    found = Established.parse(ESTABLISHED.dump(), "e.npz")
    assert found.ids == ESTABLISHED.ids
    np.testing.assert_array_equal(found.vectors, ESTABLISHED.vectors)
    assert found.graph is not None
    assert (found.graph.temperature, found.graph.own_share) == (0.1, 0.25)
    for name in ("indptr", "indices", "weights"):
        np.testing.assert_array_equal(getattr(found.graph, name), getattr(GRAPH, name))


@pytest.mark.parametrize(
    "changed",
    [
        {"graph_indptr": np.array([0, 2, 3])},
        {"graph_indptr": np.array([1, 2, 3, 3])},
        {"graph_indptr": np.array([0, 3, 2, 3])},
        {"graph_indices": np.array([1, 2, 3])},
        {"graph_indices": np.array([1, -1, 0])},
        {"graph_indices": np.array([1, 2])},
        {"graph_weights": np.array([0.5, -0.5, 1.0])},
        {"graph_weights": np.array([0.5, np.nan, 1.0])},
        {"graph_settings": np.array([0.0, 0.2])},
        {"graph_settings": np.array([0.1, -0.2])},
        {"graph_settings": np.array([np.nan, 0.2])},
        {"graph_settings": np.array([0.1])},
        {"graph_weights": np.array(["a", "b", "c"])},
    ],
)
def test_a_graph_that_makes_no_sense(changed: dict[str, Any]) -> None:
    with np.load(io.BytesIO(ESTABLISHED.dump())) as blob:
        arrays = {name: blob[name] for name in blob.files} | changed
    content = io.BytesIO()
    np.savez(content, **arrays)
    with pytest.raises(BundleError, match=r"^e\.npz: the graph .*; export again$"):
        Established.parse(content.getvalue(), "e.npz")
