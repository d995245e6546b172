"""Audiences of established streamers, by ID-embeddings made by hand."""

import numpy as np

from model_export.contract.established import BehaviourGraph, Established
from service.engine.evidence.audience import SharedAudience


def known(graph: BehaviourGraph | None = None) -> SharedAudience:
    """Two of one audience, and 60 others."""
    vectors = np.random.default_rng(5).normal(size=(62, 16)).astype(np.float32)
    vectors[1] = 2 * vectors[0] + 0.01
    ids = [f"s{i}" for i in range(62)]
    established = Established(ids, vectors, graph)
    return SharedAudience(established, {name: row for row, name in enumerate(ids)})


def linked() -> BehaviourGraph:
    """The first two have viewers in common."""
    indptr = np.array([0, 1, *[1] * 61], np.int64)
    return BehaviourGraph(indptr, np.array([1], np.int32), np.ones(1, np.float32), 0.1, 0.5)


def test_who_is_near_in_the_recommenders_space_shares_an_audience() -> None:
    told = known().of("s0", "s1")
    assert told is not None
    assert told.startswith("ID-embeddings nearer than those of 9")
    assert "(cosine 1.00)" in told
    assert known().of("s1", "s0") == told


def test_who_is_as_near_as_anybody_does_not() -> None:
    audience = known()
    near = [audience.of("s0", f"s{i}") is not None for i in range(2, 62)]
    assert sum(near) < 20


def test_an_edge_of_the_graph_is_told() -> None:
    for pair in (("s0", "s1"), ("s1", "s0")):
        told = known(linked()).of(*pair)
        assert told is not None
        assert told.startswith("viewers in common; ")


def test_of_newcomers_and_without_a_list_nothing_is_known() -> None:
    assert known().of("s0", "new") is None
    assert SharedAudience(None, {}).of("s0", "s1") is None
    one = Established(["s0"], np.ones((1, 4), np.float32))
    assert SharedAudience(one, {"s0": 0}).of("s0", "s0") is None
