"""Immutable ANN segment: a FAISS index over rows as they once were, with a proved recall.

What an approximate index finds depends on the vectors, and no FAISS type says how good it is. So
stored rows are searched for, and the answers compared with exact ones, until it is known with how
much effort (inverted lists probed, nodes kept) the wanted recall is reached. An index that does not
reach it is not used.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import faiss as untyped_faiss  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
from numpy.typing import NDArray

from service.index.faiss import scan
from service.index.faiss.ann.device import Device, OnCpu, Placed
from service.index.faiss.ann.pruning import Reach
from service.index.faiss.rows.view import View

faiss = cast(Any, untyped_faiss)  # its own stubs have no types for its Python-side functions

AUTOMATIC = "auto"
"""In place of a factory string: `factory_for` chooses."""
NEIGHBOURS = 50
"""The recall is that of so many nearest, so a segment is not asked for more."""
FEW = 10
"""Hits that most queries ask for; finding them takes less effort than `NEIGHBOURS`."""
_NPROBE = "nprobe"
"""FAISS's name for how many inverted lists a search probes."""
_MARGINS = tuple(0.02 * 1.1**i for i in range(41))
"""Of inner products with centroids, to be tried in this order; the last one is 0.9."""
_MORE_LISTS = 2
"""So many times the `nprobe` that suffices for all queries alike, for those that need most."""
_PROBES = 256
"""So many rows are searched for to measure it: its standard error at 0.99 is about 0.002."""
_TOGETHER = 32
"""So many of them in one call of FAISS: searches get their turn between calls."""
_PRECISE = ("Flat", "SQfp16", "SQbf16")
"""Endings of factory strings whose scores are as good as exact."""
_SURPLUS, _SURPLUS_OF_COARSE = 2, 4
"""So many times k are fetched: some are dead, and coarse codes misjudge."""
_CHUNK = 8192
_POINTS_PER_LIST = 64
"""Rows that train each centroid; more take longer and were not better (measured: 256)."""


class Stopped(Exception):
    """The build was told to stop."""


class Refused(Exception):
    """FAISS can't make that index of these rows, or its recall is too low."""


@dataclass(frozen=True, eq=False)
class _Trial:
    """Vectors to search for (P, D), and the best exact scores of each, best first.

    A stored row finds itself too, which proves nothing and is not counted.
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

    def recall(self, segment: "AnnSegment", view: View, k: int) -> float:
        """Share of the k nearest that a segment finds: those as near as the last true one."""
        hits = wanted = 0
        for start in range(0, len(self.probes), _TOGETHER):
            probes = self.probes[start : start + _TOGETHER]
            slots = segment.nearest_of_many(probes, k)
            found = scan.best_of_each(probes, k + 1, view.embeddings, slots)
            nearest = self.nearest[start : start + _TOGETHER]
            for (scores, _), best in zip(found, nearest, strict=True):
                true = best[: k + 1]
                hits += max(int((scores >= true[-1] - 1e-6).sum()) - 1, 0)
                wanted += len(true) - 1
        return hits / max(wanted, 1)


@dataclass(frozen=True, eq=False)
class AnnSegment:
    """An immutable FAISS index that reaches the wanted recall.

    Attributes:
        factory: its FAISS factory string.
        slots: int64 (N,), the slot of each of its rows.
        recall: share of true nearest neighbours found, of `NEIGHBOURS` each.
        effort: its search parameter, where queries can't have each their own.
        placed: the index, where it is searched.
        reach: inverted lists that a query probes; None where it has none, or can't prune.
        reach_of_few: inverted lists that a query for the `FEW` nearest probes.
    """

    factory: str
    slots: NDArray[np.int64]
    recall: float
    effort: str
    placed: Placed
    reach: Reach | None = None
    reach_of_few: Reach | None = None

    def nearest_of_many(self, queries: NDArray[np.float32], k: int) -> list[NDArray[np.int64]]:
        """Slots of more than k rows near each of the queries (Q, D); most of the best k are there.

        Raises:
            RuntimeError: the device failed.
        """
        reach = self.reach_of_few if k <= FEW else self.reach
        surplus = _SURPLUS if self.factory.endswith(_PRECISE) else _SURPLUS_OF_COARSE
        found = self.placed.search_many(queries, min(surplus * k, len(self.slots)), reach)
        return [self.slots[places] for places in found]

    def blank(self, covered: NDArray[np.bool_]) -> None:
        """Clear the codes of rows that were deleted or changed since: no answer has them any more.

        Searches may go on meanwhile. Graphs and fast-scan kinds, and an index on a GPU, keep
        theirs.

        Args:
            covered: (S,), whether a slot still holds the row that the segment was built of.
        """
        if not isinstance(self.placed, OnCpu):
            return
        index, dead = self.placed.index, ~covered[self.slots]
        if not isinstance(index, faiss.IndexIVF) or not _has_plain_lists(index):
            return
        lists = index.invlists
        for each in range(index.nlist) if dead.any() else ():
            size = lists.list_size(each)
            rows = np.flatnonzero(dead[faiss.rev_swig_ptr(lists.get_ids(each), size)])
            if len(rows):
                codes = faiss.rev_swig_ptr(lists.get_codes(each), size * index.code_size)
                codes.reshape(size, index.code_size)[rows] = 0


def check_factory(factory: str, dim: int) -> None:
    """Refuse a factory string that FAISS can't make an index of.

    Raises:
        ValueError: with FAISS's reason.
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
) -> AnnSegment:
    """A segment of the rows that a view allows.

    Args:
        factory: a FAISS factory string.
        view: the rows, which stay as they are.
        recall: what it must reach.
        is_stopped: asked now and then.
        device: where it is searched.
        questions: vectors (D,) on which it must reach the recall too.

    Raises:
        Refused: the recall is too low, and the message has it; or FAISS raised an error.
        Stopped: it was told to stop.
    """
    faiss.omp_set_num_threads(1)  # of this thread; searches need the other cores
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
) -> AnnSegment:
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
        segment = AnnSegment(factory, slots, reached, f"{name}={effort}" if name else "", placed)
        reached = _least(trials, segment, view, NEIGHBOURS)
        if reached >= goal:
            proved = replace(segment, recall=reached)
            if name == _NPROBE and placed.prunes:
                return _pruned(proved, effort, recall, goal, trials, view, is_stopped)
            return proved
    raise Refused(f"{factory} has recall {reached:.3f}, {goal:.4f} is needed")


def _pruned(
    segment: AnnSegment,
    nprobe: int,
    recall: float,
    goal: float,
    trials: Sequence[_Trial],
    view: View,
    is_stopped: Callable[[], bool],
) -> AnnSegment:
    """A segment whose queries each probe as many inverted lists as they need.

    With `nprobe` for all alike it reaches the goal. The goal for the few nearest is higher, since
    the sample counts fewer of them.
    """
    goal_of_few = recall + (1 - recall) / 2
    for margin in _MARGINS:
        _go_on(is_stopped)
        reach = Reach(_MORE_LISTS * nprobe, margin)
        tried = replace(segment, reach=reach, reach_of_few=reach)
        if segment.reach_of_few is None and _least(trials, tried, view, FEW) >= goal_of_few:
            segment = replace(segment, reach_of_few=reach)
        reached = _least(trials, tried, view, NEIGHBOURS)
        if segment.reach_of_few is not None and reached >= goal:
            return replace(segment, reach=reach, recall=reached)
    return replace(segment, reach_of_few=None)


def _least(trials: Sequence[_Trial], segment: AnnSegment, view: View, k: int) -> float:
    """The recall in the worst of the trials."""
    return min(trial.recall(segment, view, k) for trial in trials)


def _filled(
    factory: str,
    matrix: NDArray[np.float32],
    slots: NDArray[np.int64],
    rng: np.random.Generator,
    is_stopped: Callable[[], bool],
) -> Any:
    """A trained index with all rows in it."""
    index = faiss.index_factory(matrix.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    ivf = faiss.try_extract_index_ivf(index)
    sample = len(slots)
    if ivf is not None:
        ivf.cp.max_points_per_centroid = _POINTS_PER_LIST
        ivf.cp.min_points_per_centroid = 1  # or it warns on standard error
        sample = min(sample, _POINTS_PER_LIST * ivf.nlist)
    index.train(matrix[np.sort(rng.choice(slots, sample, replace=False))])
    parts = [slots[start : start + _CHUNK] for start in range(0, len(slots), _CHUNK)]
    if isinstance(index, faiss.IndexIVF) and _has_plain_lists(index):
        _fill_lists(index, matrix, parts, is_stopped)
        return index
    for part in parts:
        _go_on(is_stopped)
        index.add(matrix[part])
    return index


def _has_plain_lists(index: Any) -> bool:
    """Whether lists are arrays; those of fast-scan kinds are blocks that only `add` may fill."""
    return isinstance(faiss.downcast_InvertedLists(index.invlists), faiss.ArrayInvertedLists)


def _fill_lists(
    index: Any,
    matrix: NDArray[np.float32],
    parts: Sequence[NDArray[np.int64]],
    is_stopped: Callable[[], bool],
) -> None:
    """Add all parts to inverted lists that have their final length from the start.

    Lists that grow are half empty in the end, and what they outgrew fragments memory.
    """
    nearest: list[NDArray[np.int64]] = []  # list of each row, by part
    for part in parts:
        _go_on(is_stopped)
        nearest.append(index.quantizer.search(matrix[part], 1)[1][:, 0].copy())
    for each, length in enumerate(np.bincount(np.concatenate(nearest), minlength=index.nlist)):
        index.invlists.resize(each, int(length))
        index.invlists.resize(each, 0)  # which leaves the room
    for part, places in zip(parts, nearest, strict=True):
        _go_on(is_stopped)
        rows = matrix[part]
        index.add_core(len(part), faiss.swig_ptr(rows), None, faiss.swig_ptr(places))


def _reason(error: BaseException) -> str:
    """FAISS's message without the place in its source."""
    return str(error).rpartition(": ")[2]


def _efforts(index: Any) -> Iterator[tuple[str | None, int]]:
    """The settings to try, least effort first, each about 1.4 times the one before."""
    ivf = faiss.try_extract_index_ivf(index)
    if ivf is not None:
        most = max(ivf.nlist // 2, 1)  # with more, a scan is as fast
        steps = sorted({1 << i for i in range(20)} | {3 << i for i in range(20)})
        return ((_NPROBE, step) for step in steps if step <= most)
    if isinstance(index, faiss.IndexHNSW):
        return (("efSearch", 1 << i) for i in range(5, 11))
    return iter([(None, 0)])


def _go_on(is_stopped: Callable[[], bool]) -> None:
    if is_stopped():
        raise Stopped
