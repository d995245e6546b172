"""Fits a layout by UMAP, in a process of its own: minutes of compiled loops and of one core.

McInnes, Healy, Melville (2018), "UMAP: Uniform Manifold Approximation and Projection".
"""

import asyncio
import contextlib
import io
import warnings
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.engine.prediction.inner_products import nearest_of_all
from service.engine.work.workers import Workers

FEWEST = 10
"""Fewer streamers make no layout."""
SEED = 0
_NEIGHBOURS = 15
_MIN_DISTANCE = 0.05
_REFIT_EPOCHS, _REFIT_RATE = 100, 0.2
"""Of a fit that begins at the places of another one: a fifth of the steps' length, so it stays."""
_GRAPH_SHARE = 0.2
"""Of the work of a fit that finding the neighbours is."""
_VECTORS, _START, _PROGRESS = "vectors.npy", "start.npy", "progress"
PLACES = "places.npy"
_LOOK_S = 0.5
MISSING = (
    "layouts are fitted by umap-learn, which is not installed: pip install 'similar-streamer[map]' "
    "where the service runs"
)


class LibraryMissing(Exception):
    """UMAP can't be imported; the message says what to install."""


class FilesFailed(Exception):
    """A file between the processes can't be written or read; the message is the system's."""


async def fit(
    folder: Path,
    vectors: NDArray[np.float32],
    start: NDArray[np.float32] | None,
    tell: Callable[[float], Awaitable[None]],
) -> NDArray[np.float32]:
    """Places (n, 2) for vectors (n, D) of unit length; the same ones for the same arguments.

    Args:
        folder: for files between the processes, which are left there.
        vectors: of at least `FEWEST` streamers.
        start: where each begins (n, 2); None, or with no extent in a direction, as copies of one
            have none: at its principal components.
        tell: called with the share of the work that is done, now and then.

    Raises:
        LibraryMissing: UMAP is not installed.
        FilesFailed: as when the disk is full.
        WorkersLost: the process was ended, as by a limit of memory.
    """
    await asyncio.to_thread(write, folder, vectors, start)
    workers = Workers(1, _nothing)
    fitting = asyncio.ensure_future(workers.run(fit_files, folder))
    try:
        while not fitting.done():
            await asyncio.wait({fitting}, timeout=_LOOK_S)
            await tell(await asyncio.to_thread(_progress, folder))
        await fitting
    finally:
        fitting.cancel()
        workers.close()
    return await asyncio.to_thread(_places, folder)


def write(folder: Path, vectors: NDArray[np.float32], start: NDArray[np.float32] | None) -> None:
    """Write what `fit_files` reads; the folder is made.

    Raises:
        FilesFailed: it can't be written.
    """
    with _of_files():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        np.save(folder / _VECTORS, vectors)
        if start is not None and np.ptp(start, axis=0).all():  # the library divides by it
            np.save(folder / _START, start)


def fit_files(folder: Path) -> None:
    """Fit what is in a folder, in the worker; the places are in its file `PLACES` afterwards.

    Raises:
        LibraryMissing: UMAP is not installed.
        FilesFailed: as when the disk is full.
    """
    with warnings.catch_warnings(), _of_files():
        warnings.simplefilter("ignore")  # such as that there is no index to place others by
        _fit_files(folder)


def _fit_files(folder: Path) -> None:
    try:
        import umap as untyped_umap  # pyright: ignore[reportMissingTypeStubs, reportMissingImports]
    except ImportError as error:
        raise LibraryMissing(f"{MISSING} ({error})") from None
    umap: Any = untyped_umap
    _keep_compiled(umap)
    vectors = np.load(folder / _VECTORS)
    count = len(vectors)
    near = min(_NEIGHBOURS, count) - 1
    rows, cosines = nearest_of_all(vectors, near, lambda: None)
    own = np.arange(count, dtype=np.int32)[:, None]
    rows = np.where(rows >= 0, rows, own)  # an approximate search may find fewer
    distances = np.sqrt(np.maximum(2 - 2 * cosines, 0))
    _note(folder, _GRAPH_SHARE)
    start, refit = folder / _START, dict[str, Any]()
    if start.exists():
        refit = {"n_epochs": _REFIT_EPOCHS, "learning_rate": _REFIT_RATE}
    layout = umap.UMAP(
        n_neighbors=near + 1,
        min_dist=_MIN_DISTANCE,
        init=np.load(start) if start.exists() else "pca",
        random_state=SEED,
        n_jobs=1,
        **refit,
        precomputed_knn=(
            np.hstack([own, rows]),
            np.hstack([np.zeros((count, 1), np.float32), distances]).astype(np.float32),
        ),
        tqdm_kwds={
            "disable": False,
            "file": _Epochs(folder),
            "bar_format": "{n} {total}",
            "mininterval": _LOOK_S,
        },
    ).fit_transform(vectors)
    if not np.isfinite(layout).all():
        raise ValueError("the layout has places that are no numbers")
    np.save(folder / PLACES, layout.astype(np.float32))


def _keep_compiled(umap: Any) -> None:
    """Let what the library compiles lie in Numba's cache: seconds of each process but the first.

    The library itself keeps a small part of it there.
    """
    names: dict[str, Any] = {**vars(umap.umap_), **vars(umap.layouts)}
    for part in names.values():
        keep: Any = getattr(part, "enable_caching", None)
        if keep is not None:
            with contextlib.suppress(RuntimeError):  # no folder for it can be written
                keep()


class _Epochs(io.StringIO):
    """Takes what the library's progress bar prints: epochs that are done, of how many."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def write(self, text: str) -> int:
        done, _, total = text.strip().partition(" ")
        if done.isdecimal() and total.isdecimal() and int(total):
            _note(self._folder, _GRAPH_SHARE + (1 - _GRAPH_SHARE) * int(done) / int(total))
        return len(text)


def _note(folder: Path, share: float) -> None:
    draft = folder / f"{_PROGRESS}.draft"
    draft.write_text(f"{share:.4f}", encoding="ascii")
    draft.replace(folder / _PROGRESS)


def _progress(folder: Path) -> float:
    with _of_files(), contextlib.suppress(FileNotFoundError):
        return float((folder / _PROGRESS).read_text(encoding="ascii"))
    return 0.0


def _places(folder: Path) -> NDArray[np.float32]:
    with _of_files():
        return np.load(folder / PLACES)


@contextlib.contextmanager
def _of_files() -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise FilesFailed(str(error)) from error


def _nothing() -> None:
    """Nothing is to be done at the start of the worker."""
