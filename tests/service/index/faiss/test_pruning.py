"""Each query probes as many inverted lists as it needs, and finds what FAISS would find there."""

from typing import Any, cast

import faiss as untyped_faiss
import numpy as np
import pytest

from service.index.faiss.ann.pruning import InvertedLists, Reach
from tests.benchmarks.clustered import clustered
from tests.service.index.faiss.records import unit

faiss = cast(Any, untyped_faiss)
DIM, LISTS, K = 32, 64, 10
VECTORS = clustered(6000, DIM, spread=0.5, seed=3)
AMONG = VECTORS[::60]
BETWEEN = unit(np.random.default_rng(1), 100, DIM)
EVERYTHING = Reach(LISTS, 9.0)


def filled(kind: str = "Flat", vectors: np.ndarray = VECTORS) -> Any:
    index = faiss.index_factory(DIM, f"IVF{LISTS},{kind}", faiss.METRIC_INNER_PRODUCT)
    index.cp.min_points_per_centroid = 1
    if kind == "PQ8":  # or it orders its codes for comparisons by bits, which nobody makes
        index.do_polysemous_training = False
        index.pq.cp.niter = 3  # finer codes tell no more of which lists are searched
    index.train(VECTORS)
    index.add(vectors)
    return index


def probed(lists: InvertedLists, queries: np.ndarray, reach: Reach) -> float:
    """InvertedLists a query, on average."""
    stats = faiss.cvar.indexIVF_stats
    stats.reset()
    for query in queries:
        lists.search(query[None, :], K, reach)
    return stats.nlist / len(queries)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Flat", "SQ8", "PQ8", "PQ16x4fs"])
def test_without_a_margin_it_finds_what_faiss_finds(kind: str) -> None:
    index = filled(kind)
    index.nprobe = 12
    expected = index.search(AMONG, K)[1]
    found = InvertedLists(index).search(AMONG, K, Reach(12, 9.0))
    assert [set(row) for row in found.tolist()] == [set(row) for row in expected.tolist()]


def test_several_queries_find_what_each_finds_alone() -> None:
    lists, queries = InvertedLists(filled()), np.concatenate([AMONG, BETWEEN])
    for reach in (Reach(20, 0.0), Reach(20, 0.1), EVERYTHING):
        alone = [lists.search(query[None, :], K, reach)[0].tolist() for query in queries]
        assert lists.search(queries, K, reach).tolist() == alone


def test_who_is_between_clusters_looks_into_more_cells() -> None:
    lists, reach = InvertedLists(filled()), Reach(LISTS, 0.1)
    assert 1 <= probed(lists, AMONG, reach) < probed(lists, BETWEEN, reach) / 2
    assert probed(lists, BETWEEN, Reach(3, 0.1)) <= 3


def test_it_needs_fewer_cells_than_as_many_for_all() -> None:
    index, queries = filled(), np.concatenate([AMONG, BETWEEN[:5]])
    lists, best = (
        InvertedLists(index),
        [
            set(row)
            for row in faiss.knn(queries, VECTORS, K, faiss.METRIC_INNER_PRODUCT)[1].tolist()
        ],
    )

    def recall(found: np.ndarray) -> float:
        pairs = zip(found.tolist(), best, strict=True)
        return sum(len(set(row) & true) for row, true in pairs) / (K * len(queries))

    index.nprobe = next(
        n for n in range(1, LISTS) if recall(lists.search(queries, K, Reach(n, 9.0))) >= 0.99
    )
    reach = next(
        reach
        for reach in (Reach(LISTS, margin / 100) for margin in range(100))
        if recall(lists.search(queries, K, reach)) >= 0.99
    )
    assert probed(lists, queries, reach) < index.nprobe / 1.5


def test_cells_with_too_few_rows_are_not_the_end() -> None:
    few = VECTORS[:20]
    lists = InvertedLists(filled(vectors=few))
    for queries in (few[:1], few):
        for row in lists.search(queries, K, Reach(LISTS, 0.0)).tolist():
            assert len(set(row)) == K
            assert min(row) >= 0
    assert lists.search(few[:2], 25, EVERYTHING)[:, 20:].tolist() == [[-1] * 5] * 2
