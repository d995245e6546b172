"""Fits by the real library: neighbours stay together, and the same input gives the same layout."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import faiss
import numpy as np
import pytest

from service.engine.layouts import fitting
from service.engine.layouts.fitting import FilesFailed, LibraryMissing, fit
from tests.benchmarks.clustered import clustered

pytestmark = [pytest.mark.slow, pytest.mark.anyio]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def vectors_of(count: int) -> np.ndarray:
    return np.ascontiguousarray(clustered(count, 32))


def fitted(folder: Path, vectors: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """Places, fitted in this process: another one would compile the library's loops again."""
    fitting.write(folder, vectors, start)
    fitting.fit_files(folder)
    return np.load(folder / fitting.PLACES)


def teller(shares: list[float]) -> Callable[[float], Awaitable[None]]:
    async def tell(share: float) -> None:
        shares.append(share)

    return tell


def test_neighbours_stay_together_and_a_repeat_is_the_same(tmp_path: Path) -> None:
    vectors = vectors_of(800)
    places = fitted(tmp_path / "one", vectors)
    assert places.shape == (800, 2)
    assert places.dtype == np.float32
    _, near = faiss.knn(vectors, vectors, 11, faiss.METRIC_INNER_PRODUCT)
    _, shown = faiss.knn(places, places, 31)
    kept = [len(np.intersect1d(a[1:], b[1:])) / 10 for a, b in zip(near, shown, strict=True)]
    assert np.mean(kept) > 0.3  # by chance 0.04
    np.testing.assert_array_equal(places, fitted(tmp_path / "two", vectors))
    # One that begins where that ended stays about there.
    again = fitted(tmp_path / "three", vectors, places)
    before, after = places - places.mean(0), again - again.mean(0)
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.8


def test_what_is_compiled_is_kept_for_other_processes(tmp_path: Path) -> None:
    fitted(tmp_path, vectors_of(20))
    for module, name in (
        ("umap.umap_", "smooth_knn_dist"),
        ("umap.umap_", "compute_membership_strengths"),
        ("umap.layouts", "_optimize_layout_euclidean_single_epoch"),
    ):
        (compiled,) = (
            value
            for value in vars(sys.modules[module]).values()
            if hasattr(value, "enable_caching")
            and value.py_func.__name__ == name
            and value.signatures
        )
        assert list(Path(compiled.stats.cache_path).glob(f"*.{name}-*.nbc")), name


@pytest.mark.parametrize("count", [fitting.FEWEST, 16])
def test_a_handful_has_a_layout(tmp_path: Path, count: int) -> None:
    assert np.isfinite(fitted(tmp_path, vectors_of(count))).all()


def test_copies_have_a_layout(tmp_path: Path) -> None:
    assert np.isfinite(fitted(tmp_path, np.repeat(vectors_of(5), 20, axis=0))).all()


def test_places_that_have_no_extent_are_no_start(tmp_path: Path) -> None:
    vectors = vectors_of(12)
    start = np.repeat(np.array([[1, 2]], np.float32), 12, axis=0)
    for name, given in (("point", start), ("line", start + np.arange(12)[:, None] * [1, 0])):
        places = fitted(tmp_path / name, vectors, given.astype(np.float32))
        np.testing.assert_array_equal(places, fitted(tmp_path / f"{name} not", vectors))


async def test_the_worker_tells_how_far_it_is(tmp_path: Path) -> None:
    shares: list[float] = []
    vectors = vectors_of(100)
    places = await fit(tmp_path / "worker", vectors, None, teller(shares))
    assert shares
    assert shares == sorted(shares)
    assert shares[-1] <= 1
    np.testing.assert_allclose(places, fitted(tmp_path / "here", vectors), atol=1e-4)


async def test_without_the_library_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "umap.py").write_text("raise ModuleNotFoundError('No module named umap')\n")
    monkeypatch.syspath_prepend(tmp_path)  # processes that are spawned have the same path
    with pytest.raises(LibraryMissing, match=r"pip install 'similar-streamer\[map\]'"):
        await fit(tmp_path / "files", vectors_of(20), None, teller([]))


@pytest.mark.parametrize("full", ["vectors.npy", "start.npy", fitting.PLACES])
async def test_a_full_disk_has_a_reason(tmp_path: Path, full: str) -> None:
    """Each file in turn is on a device that has no room."""
    (tmp_path / full).symlink_to("/dev/full")
    vectors = vectors_of(100)
    with pytest.raises(FilesFailed, match=r"No space left|requested and \d+ written"):
        await fit(tmp_path, vectors, vectors[:, :2], teller([]))


def test_a_disk_that_is_full_of_progress_has_a_reason(tmp_path: Path) -> None:
    (tmp_path / "progress.draft").symlink_to("/dev/full")
    with pytest.raises(FilesFailed, match="No space left"):
        fitted(tmp_path, vectors_of(100))
