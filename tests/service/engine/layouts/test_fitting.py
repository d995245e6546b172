"""Fits by the real library, in the real worker: neighbours stay together, and it is repeatable."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import faiss
import numpy as np
import pytest

from service.engine.layouts.fitting import LibraryMissing, fit
from tests.benchmarks.clustered import clustered

pytestmark = [pytest.mark.slow, pytest.mark.anyio]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def teller(shares: list[float]) -> Callable[[float], Awaitable[None]]:
    async def tell(share: float) -> None:
        shares.append(share)

    return tell


async def test_neighbours_stay_together_and_a_repeat_is_the_same(tmp_path: Path) -> None:
    vectors = np.ascontiguousarray(clustered(1500, 32))
    shares: list[float] = []
    places = await fit(tmp_path / "one", vectors, None, teller(shares))
    assert places.shape == (1500, 2)
    assert places.dtype == np.float32
    assert shares
    assert shares == sorted(shares)
    assert shares[-1] <= 1
    _, near = faiss.knn(vectors, vectors, 11, faiss.METRIC_INNER_PRODUCT)
    _, shown = faiss.knn(places, places, 31)
    kept = [len(np.intersect1d(a[1:], b[1:])) / 10 for a, b in zip(near, shown, strict=True)]
    assert np.mean(kept) > 0.3  # by chance 0.02
    again = await fit(tmp_path / "two", vectors, None, teller([]))
    np.testing.assert_array_equal(places, again)


async def test_a_fit_that_begins_at_places_ends_near_them(tmp_path: Path) -> None:
    vectors = np.ascontiguousarray(clustered(600, 32))
    first = await fit(tmp_path / "one", vectors, None, teller([]))
    second = await fit(tmp_path / "two", vectors, first, teller([]))
    first, second = first - first.mean(0), second - second.mean(0)
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.8


@pytest.mark.parametrize("count", [10, 16])
async def test_a_handful_has_a_layout(tmp_path: Path, count: int) -> None:
    vectors = np.ascontiguousarray(clustered(count, 32))
    places = await fit(tmp_path, vectors, None, teller([]))
    assert np.isfinite(places).all()


async def test_copies_have_a_layout(tmp_path: Path) -> None:
    vectors = np.repeat(clustered(5, 32), 20, axis=0)
    places = await fit(tmp_path, np.ascontiguousarray(vectors), None, teller([]))
    assert np.isfinite(places).all()


async def test_without_the_library_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "umap.py").write_text("raise ModuleNotFoundError('No module named umap')\n")
    monkeypatch.syspath_prepend(tmp_path)  # processes that are spawned have the same path
    vectors = np.ascontiguousarray(clustered(20, 32))
    with pytest.raises(LibraryMissing, match=r"pip install 'similar-streamer\[map\]'"):
        await fit(tmp_path / "files", vectors, None, teller([]))
