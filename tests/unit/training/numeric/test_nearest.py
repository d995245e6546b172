import importlib
import logging
from typing import Any

import numpy as np
import pytest

from tests.benchmarks.clustered import clustered
from training.errors import UsageError
from training.numeric import nearest as module
from training.numeric.nearest import RECALL_DEPTH, nearest, search_among


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return clustered(4000, 32, seed=0)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there were very many."""
    monkeypatch.setattr(module, "EXACT_UP_TO", 1000)


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(found, exact, strict=True)]))


@pytest.mark.slow
@pytest.mark.usefixtures("few")
def test_very_many_are_searched_by_faiss_with_nearly_the_same_neighbours(
    vectors: np.ndarray, caplog: pytest.LogCaptureFixture
):
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    exact = np.argsort(-cosines, axis=1, kind="stable")[:, :RECALL_DEPTH]
    with caplog.at_level(logging.INFO, "training"):
        near, values = nearest(vectors, RECALL_DEPTH)
    assert near.shape == values.shape == (4000, RECALL_DEPTH)
    assert near.dtype == np.int64
    assert values.dtype == np.float32
    assert not (near == np.arange(4000)[:, None]).any()
    assert (np.diff(values, axis=1) <= 1e-3).all()
    np.testing.assert_allclose(values, np.take_along_axis(cosines, near, 1), atol=1e-3)
    found = recall(near, exact)
    assert 0.95 <= found < 1, "of an exact search nothing is learned here"
    (line,) = [r.getMessage() for r in caplog.records if "FAISS" in r.getMessage()]
    measured = float(line.split("recall@20 ")[1].split()[0])
    assert measured == pytest.approx(found, abs=0.03)
    assert "4000 vectors" in line


@pytest.mark.slow
@pytest.mark.usefixtures("few")
def test_who_is_not_able_is_not_found(vectors: np.ndarray):
    able = np.arange(4000) % 3 > 0
    near, _ = nearest(vectors, 10, able)
    assert able[near].all()
    exact = np.where(able, vectors @ vectors.T, -np.inf)
    np.fill_diagonal(exact, -np.inf)
    assert recall(near, np.argsort(-exact, axis=1)[:, :10]) >= 0.95


@pytest.mark.usefixtures("few")
def test_other_queries_are_searched_as_well(vectors: np.ndarray):
    queries = clustered(2000, 32, seed=0)[::-1] + 0.01
    near, values = search_among(vectors, queries)(queries, 10)
    exact = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    assert near.shape == values.shape == (2000, 10)
    assert recall(near, exact) >= 0.95
    few_queries, _ = search_among(vectors, queries[:5])(
        queries[:5], 10
    )  # too few for an index to pay
    np.testing.assert_array_equal(few_queries, exact[:5])


@pytest.mark.usefixtures("few")
def test_lists_with_too_few_rows_do_not_leave_places_empty():
    # One far cluster of three: lists near it hold fewer rows than wanted.
    vectors = clustered(2000, 16, seed=1)
    vectors[:3] = -vectors.mean(0) / np.linalg.norm(vectors.mean(0))
    near, _ = search_among(vectors, vectors)(vectors[:3], 1500)
    exact = np.argsort(-(vectors[:3] @ vectors.T), axis=1)[:, :1500]
    assert (near >= 0).all()
    assert recall(near, exact) == 1


def test_up_to_the_threshold_all_pairs_are_compared(vectors: np.ndarray):
    near, _ = nearest(vectors, 10)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    wanted = np.take_along_axis(cosines, np.argsort(-cosines, axis=1)[:, :10], 1)
    np.testing.assert_allclose(np.take_along_axis(cosines, near, 1), wanted, atol=1e-6)


@pytest.mark.usefixtures("few")
def test_without_faiss_the_error_names_the_extra(
    vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    original = importlib.import_module

    def missing(name: str, *rest: Any) -> Any:
        if name == "faiss":
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(UsageError, match=r"4000 streamers .* install the extra cpu or gpu"):
        nearest(vectors, 10)
