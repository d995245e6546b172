"""Each query looks into as many cells as it needs, and finds what FAISS itself would find there."""

from typing import Any, cast

import faiss as untyped_faiss
import numpy as np
import pytest

from service.index.faiss.ann.pruning import Cells, Reach
from tests.benchmarks.clustered import clustered
from tests.service.index.faiss.records import unit

faiss = cast(Any, untyped_faiss)
DIM, CELLS, K = 32, 64, 10
VECTORS = clustered(6000, DIM, spread=0.5, seed=3)
AMONG = VECTORS[::60]
BETWEEN = unit(np.random.default_rng(1), 100, DIM)
EVERYTHING = Reach(CELLS, 9.0)


def filled(kind: str = "Flat", vectors: np.ndarray = VECTORS) -> Any:
    index = faiss.index_factory(DIM, f"IVF{CELLS},{kind}", faiss.METRIC_INNER_PRODUCT)
    index.cp.min_points_per_centroid = 1
    index.train(VECTORS)
    index.add(vectors)
    return index


def looked_into(cells: Cells, queries: np.ndarray, reach: Reach) -> float:
    """Cells a query, on average."""
    stats = faiss.cvar.indexIVF_stats
    stats.reset()
    for query in queries:
        cells.search(query[None, :], K, reach)
    return stats.nlist / len(queries)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Flat", "SQfp16", "SQ8", "PQ8", "PQ16x4fs"])
def test_without_a_margin_it_finds_what_faiss_finds(kind: str) -> None:
    index = filled(kind)
    index.nprobe = 12
    expected = index.search(AMONG, K)[1]
    found = Cells(index).search(AMONG, K, Reach(12, 9.0))
    assert [set(row) for row in found.tolist()] == [set(row) for row in expected.tolist()]


def test_several_queries_find_what_each_finds_alone() -> None:
    cells, queries = Cells(filled()), np.concatenate([AMONG, BETWEEN])
    for reach in (Reach(20, 0.0), Reach(20, 0.1), EVERYTHING):
        alone = [cells.search(query[None, :], K, reach)[0].tolist() for query in queries]
        assert cells.search(queries, K, reach).tolist() == alone


def test_who_is_between_clusters_looks_into_more_cells() -> None:
    cells, reach = Cells(filled()), Reach(CELLS, 0.1)
    assert 1 <= looked_into(cells, AMONG, reach) < looked_into(cells, BETWEEN, reach) / 2
    assert looked_into(cells, BETWEEN, Reach(3, 0.1)) <= 3


def test_it_needs_fewer_cells_than_as_many_for_all() -> None:
    index, queries = filled(), np.concatenate([AMONG, BETWEEN[:5]])
    cells, best = (
        Cells(index),
        [
            set(row)
            for row in faiss.knn(queries, VECTORS, K, faiss.METRIC_INNER_PRODUCT)[1].tolist()
        ],
    )

    def recall(found: np.ndarray) -> float:
        pairs = zip(found.tolist(), best, strict=True)
        return sum(len(set(row) & true) for row, true in pairs) / (K * len(queries))

    index.nprobe = next(
        n for n in range(1, CELLS) if recall(cells.search(queries, K, Reach(n, 9.0))) >= 0.99
    )
    reach = next(
        reach
        for reach in (Reach(CELLS, margin / 100) for margin in range(100))
        if recall(cells.search(queries, K, reach)) >= 0.99
    )
    assert looked_into(cells, queries, reach) < index.nprobe / 1.5


def test_cells_with_too_few_rows_are_not_the_end() -> None:
    few = VECTORS[:20]
    cells = Cells(filled(vectors=few))
    for queries in (few[:1], few):
        for row in cells.search(queries, K, Reach(CELLS, 0.0)).tolist():
            assert len(set(row)) == K
            assert min(row) >= 0
    assert cells.search(few[:2], 25, EVERYTHING)[:, 20:].tolist() == [[-1] * 5] * 2
