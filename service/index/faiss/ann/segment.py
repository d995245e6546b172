"""Any FAISS index over rows that don't change any more, once it has proved its recall.

What an index finds is a guess that depends on the vectors, and no FAISS type says how good it is.
So stored rows are looked up, and compared with a scan of everything, until it is known with how
much effort (cells looked into, nodes kept) the wanted recall is reached; without, it is not used.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import faiss as untyped_faiss  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
from numpy.typing import NDArray

from service.index.faiss import scan
from service.index.faiss.ann.device import Device, Placed
from service.index.faiss.ann.pruning import Reach
from service.index.faiss.rows.view import View

faiss = cast(Any, untyped_faiss)  # its own stubs have no types for its Python-side functions

AUTOMATIC = "auto"
"""In place of a factory string: `factory_for` chooses."""
NEIGHBOURS = 50
"""The recall is that of so many nearest, so more are not asked of it."""
FEW = 10
"""As many as most ask for; they are found with less effort than `NEIGHBOURS`."""
_CELLS = "nprobe"
"""FAISS's name for how many cells a search looks into."""
_MARGINS = tuple(0.02 * 1.1**i for i in range(41))
"""Of inner products with cells' centres, to be tried in this order; the last one is 0.9."""
_MORE_CELLS = 2
"""So many times as many cells as all queries alike would need, for those that need most."""
_PROBES = 256
"""So many rows are looked up to measure it: its standard error at .99 is about .002."""
_TOGETHER = 32
"""So many of them at a time, in one call of FAISS: questions get their turn meanwhile."""
_PRECISE = ("Flat", "SQfp16", "SQbf16")
"""How factory strings end whose numbers are as good as exact."""
_SURPLUS, _SURPLUS_OF_COARSE = 2, 4
"""So many times as many as asked for are fetched: some are dead, and coarse codes misjudge."""
_CHUNK = 8192
_POINTS_PER_CELL = 64
"""Rows that train each cell; more take longer and were not better (measured: 256)."""


class Stopped(Exception):
    """Whoever builds was told to stop."""


class Refused(Exception):
    """FAISS can't make that index of these rows, or it does not reach the wanted recall."""


@dataclass(frozen=True, eq=False)
class _Trial:
    """Vectors to look up (P, D), and the best scores of each, best first.

    A stored row finds itself too, which is no merit, and is not counted.
    """

    probes: NDArray[np.float32]
    nearest: Sequence[NDArray[np.float32]]

    @classmethod
    def of(
        cls, probes: NDArray[np.float32], view: View, is_stopped: Callable[[], bool]
    ) -> "_Trial":
        nearest: list[NDArray[np.float32]] = []
        for probe in probes:
            _go_on(is_stopped)
            nearest.append(-np.sort(-scan.best(probe, NEIGHBOURS + 1, view)[0]))
        return cls(probes, nearest)

    def recall(self, base: "Base", view: View, k: int) -> float:
        """The share of the k nearest that a base finds: those as near as the last true one."""
        hits = wanted = 0
        for start in range(0, len(self.probes), _TOGETHER):
            probes = self.probes[start : start + _TOGETHER]
            slots = base.nearest_of_many(probes, k)
            found = scan.best_of_each(probes, k + 1, view.embeddings, slots)
            nearest = self.nearest[start : start + _TOGETHER]
            for (scores, _), best in zip(found, nearest, strict=True):
                true = best[: k + 1]
                hits += max(int((scores >= true[-1] - 1e-6).sum()) - 1, 0)
                wanted += len(true) - 1
        return hits / max(wanted, 1)


@dataclass(frozen=True, eq=False)
class Base:
    """An immutable index that proved itself.

    Attributes:
        factory: what FAISS made it of.
        slots: int64 (N,), the slot of each of its rows.
        recall: the share of true nearest neighbours found, of `NEIGHBOURS` each.
        effort: the setting that it takes, where queries can't have each their own.
        placed: the index, where it is searched.
        reach: the cells that a query takes; None where it has none, or can't choose.
        reach_of_few: the same where only the `FEW` nearest are asked for.
    """

    factory: str
    slots: NDArray[np.int64]
    recall: float
    effort: str
    placed: Placed
    reach: Reach | None = None
    reach_of_few: Reach | None = None

    def nearest_of_many(self, queries: NDArray[np.float32], k: int) -> list[NDArray[np.int64]]:
        """Slots of more than k rows near each of the queries (Q, D).

        The best k are among them for sure or nearly.

        Raises:
            RuntimeError: the device failed.
        """
        reach = self.reach_of_few if k <= FEW else self.reach
        surplus = _SURPLUS if self.factory.endswith(_PRECISE) else _SURPLUS_OF_COARSE
        found = self.placed.search_many(queries, min(surplus * k, len(self.slots)), reach)
        return [self.slots[places] for places in found]


def check_factory(factory: str, dim: int) -> None:
    """See whether FAISS knows the factory string.

    Raises:
        ValueError: it does not; the message has its own.
    """
    try:
        faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise ValueError(
            f"FAISS can't make an index {factory!r} of width {dim}: {_reason(error)}"
        ) from error


def build(
    factory: str,
    view: View,
    recall: float,
    is_stopped: Callable[[], bool],
    device: Device,
    questions: Sequence[NDArray[np.float32]] = (),
) -> Base:
    """An index of the rows that a view allows.

    Args:
        factory: a FAISS factory string.
        view: the rows, which stay as they are.
        recall: what it must reach.
        is_stopped: asked now and then.
        device: where it is searched.
        questions: vectors (D,) on which it must reach it too.

    Raises:
        Refused: it does not, and the message says what it reaches; or FAISS raised an error.
        Stopped: it was told to.
    """
    faiss.omp_set_num_threads(1)  # of this thread; queries need the other cores
    try:
        return _proved(factory, view, recall, is_stopped, device, questions)
    except (RuntimeError, MemoryError) as error:
        raise Refused(f"{factory} of {view.size} rows: {_reason(error)}") from error


def _proved(
    factory: str,
    view: View,
    recall: float,
    is_stopped: Callable[[], bool],
    device: Device,
    questions: Sequence[NDArray[np.float32]],
) -> Base:
    slots = view.slots()
    rng = np.random.default_rng(len(slots))
    index = _filled(factory, view.embeddings, slots, rng, is_stopped)
    placed = device.place(index)
    stored = view.embeddings[rng.choice(slots, min(_PROBES, len(slots)), replace=False)]  # (P, D)
    trials = [_Trial.of(stored, view, is_stopped)]
    if questions:
        trials.append(_Trial.of(np.stack(questions), view, is_stopped))
    reached = 0.0
    # Measured on a sample, so a little more is asked for.
    goal = recall + (1 - recall) / 4
    for name, effort in _efforts(index):
        _go_on(is_stopped)
        if name is not None:
            placed.set_effort(name, effort)
        base = Base(factory, slots, reached, f"{name}={effort}" if name else "", placed)
        reached = _least(trials, base, view, NEIGHBOURS)
        if reached >= goal:
            proved = replace(base, recall=reached)
            if name == _CELLS and placed.chooses_cells:
                return _choosing(proved, effort, recall, goal, trials, view, is_stopped)
            return proved
    raise Refused(f"{factory} finds {reached:.3f} of the nearest, {goal:.4f} is wanted")


def _choosing(
    base: Base,
    cells: int,
    recall: float,
    goal: float,
    trials: Sequence[_Trial],
    view: View,
    is_stopped: Callable[[], bool],
) -> Base:
    """The same base, with as many cells for each query as that one needs.

    As many `cells` for all reach the goal. It asks more of the few nearest, where a sample counts
    fewer.
    """
    goal_of_few = recall + (1 - recall) / 2
    for margin in _MARGINS:
        _go_on(is_stopped)
        reach = Reach(_MORE_CELLS * cells, margin)
        tried = replace(base, reach=reach, reach_of_few=reach)
        if base.reach_of_few is None and _least(trials, tried, view, FEW) >= goal_of_few:
            base = replace(base, reach_of_few=reach)
        reached = _least(trials, tried, view, NEIGHBOURS)
        if base.reach_of_few is not None and reached >= goal:
            return replace(base, reach=reach, recall=reached)
    return replace(base, reach_of_few=None)


def _least(trials: Sequence[_Trial], base: Base, view: View, k: int) -> float:
    """The recall in the worst of the trials."""
    return min(trial.recall(base, view, k) for trial in trials)


def _filled(
    factory: str,
    matrix: NDArray[np.float32],
    slots: NDArray[np.int64],
    rng: np.random.Generator,
    is_stopped: Callable[[], bool],
) -> Any:
    """The index with all rows in it."""
    index = faiss.index_factory(matrix.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    cells = faiss.try_extract_index_ivf(index)
    sample = len(slots)
    if cells is not None:
        cells.cp.max_points_per_centroid = _POINTS_PER_CELL
        cells.cp.min_points_per_centroid = 1  # or it warns on standard error
        sample = min(sample, _POINTS_PER_CELL * cells.nlist)
    index.train(matrix[np.sort(rng.choice(slots, sample, replace=False))])
    parts = [slots[start : start + _CHUNK] for start in range(0, len(slots), _CHUNK)]
    if isinstance(index, faiss.IndexIVF) and _has_plain_lists(index):
        _fill_cells(index, matrix, parts, is_stopped)
        return index
    for part in parts:
        _go_on(is_stopped)
        index.add(matrix[part])
    return index


def _has_plain_lists(index: Any) -> bool:
    """Not those of fast-scan kinds, which are in blocks of codes and must be filled by `add`."""
    return isinstance(faiss.downcast_InvertedLists(index.invlists), faiss.ArrayInvertedLists)


def _fill_cells(
    index: Any,
    matrix: NDArray[np.float32],
    parts: Sequence[NDArray[np.int64]],
    is_stopped: Callable[[], bool],
) -> None:
    """As `add` of all parts, but each list is as long as it gets from the start.

    Lists that grow are half empty in the end, and what they outgrew lies about in memory.
    """
    cells: list[NDArray[np.int64]] = []
    for part in parts:
        _go_on(is_stopped)
        cells.append(index.quantizer.search(matrix[part], 1)[1][:, 0].copy())
    for cell, length in enumerate(np.bincount(np.concatenate(cells), minlength=index.nlist)):
        index.invlists.resize(cell, int(length))
        index.invlists.resize(cell, 0)  # which leaves the room
    for part, places in zip(parts, cells, strict=True):
        _go_on(is_stopped)
        rows = matrix[part]
        index.add_core(len(part), faiss.swig_ptr(rows), None, faiss.swig_ptr(places))


def _reason(error: BaseException) -> str:
    """What FAISS says, without where in its source."""
    return str(error).rpartition(": ")[2]


def _efforts(index: Any) -> Iterator[tuple[str | None, int]]:
    """The settings to try, least effort first, each about 1.4 times the one before."""
    cells = faiss.try_extract_index_ivf(index)
    if cells is not None:
        most = max(cells.nlist // 2, 1)  # with more, a scan is as fast
        steps = sorted({1 << i for i in range(20)} | {3 << i for i in range(20)})
        return ((_CELLS, step) for step in steps if step <= most)
    if isinstance(index, faiss.IndexHNSW):
        return (("efSearch", 1 << i) for i in range(5, 11))
    return iter([(None, 0)])


def _go_on(is_stopped: Callable[[], bool]) -> None:
    if is_stopped():
        raise Stopped
