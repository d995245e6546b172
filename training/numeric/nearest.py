"""Nearest vectors by inner product: exact for few, by an inverted file of FAISS for very many.

What an approximate index finds depends on the vectors. So some queries are compared with exact
answers, and more inverted lists are probed until the wanted recall is reached.
"""

import importlib
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from training.errors import UsageError
from training.numeric.blocks import blocks
from training.numeric.topk import Found, nearest_others, top_k_in_blocks

EXACT_UP_TO = 50_000
"""Most vectors that are all compared with each other."""
LEAST_RECALL = 0.97
"""Wanted recall of the `RECALL_DEPTH` nearest."""
RECALL_DEPTH = 20
_PROBES = 256
"""Queries that recall is measured on; its standard error is about 0.005."""
_POINTS_PER_LIST = 40
"""Vectors that train each centroid."""
_CHUNK = 4096
"""Queries in one call of FAISS."""
_CLOSE = 1e-3
"""Inner products of half-precision vectors may differ so much from exact ones."""

_log = logging.getLogger(__name__)

Search = Callable[[NDArray[np.float32], int], Found]
"""Queries (Q, E) and K -> rows (Q, K), best first, and their inner products (Q, K)."""


def nearest(
    directions: NDArray[np.float32], count: int, able: NDArray[np.bool_] | None = None
) -> Found:
    """Nearest other rows by cosine of unit rows (N, E), best first; see `nearest_others`.

    Above `EXACT_UP_TO` rows, approximate.
    """
    rows = np.arange(len(directions)) if able is None else np.flatnonzero(able)
    if len(directions) <= EXACT_UP_TO or len(rows) <= count:
        return nearest_others(
            lambda part: directions[part] @ directions.T, len(directions), count, able
        )
    search = ApproximateSearch(directions if able is None else directions[rows], directions).search
    near = np.zeros((len(directions), count), np.int64)
    scores = np.zeros((len(directions), count), np.float32)
    for part in blocks(len(directions), 2 * count):
        found, values = search(directions[part], count + 1)  # (b, K + 1)
        other = rows[found] != np.arange(part.start, part.stop)[:, None]
        other[other.all(1), -1] = False  # rows that did not find themselves drop the last
        near[part] = rows[found[other]].reshape(-1, count)
        scores[part] = values[other].reshape(-1, count)
    return near, scores


def search_among(directions: NDArray[np.float32], queries: NDArray[np.float32]) -> Search:
    """Search of unit rows (M, E), approximate above `EXACT_UP_TO` squared pairs with queries.

    Args:
        directions: (M, E).
        queries: (Q, E), all that will be asked.
    """
    if len(directions) * len(queries) <= EXACT_UP_TO**2:
        return lambda asked, count: _exact(asked, directions, count)
    return ApproximateSearch(directions, queries).search


def _exact(queries: NDArray[np.float32], directions: NDArray[np.float32], count: int) -> Found:
    return top_k_in_blocks(
        lambda part: queries[part] @ directions.T, len(queries), len(directions), count
    )


class ApproximateSearch:
    """Inverted file of half-precision vectors in FAISS, with the threads of torch.

    Attributes:
        recall: share of the `RECALL_DEPTH` nearest that are found, measured on some queries.
        lists: number of inverted lists.
        probed: number of lists that a query probes, the least power of two that reaches
            `LEAST_RECALL`, or all.
    """

    def __init__(self, directions: NDArray[np.float32], queries: NDArray[np.float32]) -> None:
        """Index unit rows (M, E) and measure the recall on some of the queries (Q, E).

        Raises:
            UsageError: FAISS is not installed.
        """
        faiss = _faiss(len(directions))
        faiss.omp_set_num_threads(torch.get_num_threads())
        rng, (rows, width) = np.random.default_rng(0), directions.shape
        self._directions = directions
        self.lists = round(2 * rows**0.5)
        # The index keeps no reference to its quantizer in Python, so this object does.
        self._quantizer = faiss.IndexFlatIP(width)
        self._index = faiss.IndexIVFScalarQuantizer(
            self._quantizer,
            width,
            self.lists,
            faiss.ScalarQuantizer.QT_fp16,
            faiss.METRIC_INNER_PRODUCT,
        )
        learned_from = rng.choice(rows, min(_POINTS_PER_LIST * self.lists, rows), replace=False)
        self._index.train(directions[np.sort(learned_from)])
        for start in range(0, rows, _CHUNK):
            self._index.add(np.ascontiguousarray(directions[start : start + _CHUNK], np.float32))
        probes = queries[rng.choice(len(queries), min(_PROBES, len(queries)), replace=False)]
        self.probed, self.recall = self._measure(probes)
        _log.info(
            "%d vectors are searched by FAISS: recall@%d %.3f on a sample, %d of %d lists probed",
            *(rows, RECALL_DEPTH, self.recall, self.probed, self.lists),
        )

    def search(self, queries: NDArray[np.float32], count: int) -> Found:
        """The `count` nearest of each query (Q, E), best first.

        Queries whose lists hold too few rows are compared with all.
        """
        count = min(count, len(self._directions))
        near = np.zeros((len(queries), count), np.int64)
        scores = np.zeros((len(queries), count), np.float32)
        for start in range(0, len(queries), _CHUNK):
            part = slice(start, start + _CHUNK)
            asked = np.ascontiguousarray(queries[part], np.float32)
            scores[part], near[part] = self._index.search(asked, count)
        few = np.flatnonzero(near[:, -1] < 0) if count else near[:0, 0]
        if len(few):
            near[few], scores[few] = _exact(queries[few], self._directions, count)
        return near, scores

    def _measure(self, probes: NDArray[np.float32]) -> tuple[int, float]:
        """Lists to probe, and the recall with them; of equal scores any may be found."""
        last = _exact(probes, self._directions, RECALL_DEPTH)[1][:, -1:]
        probed, recall = 4, 0.0
        while True:
            self._index.nprobe = min(probed, self.lists)
            scores = self.search(probes, RECALL_DEPTH)[1]
            recall = float((scores >= last - _CLOSE).mean())
            if recall >= LEAST_RECALL or probed >= self.lists:
                return self._index.nprobe, recall
            probed *= 2


def _faiss(rows: int) -> Any:
    try:
        return importlib.import_module("faiss")
    except ImportError:
        raise UsageError(
            f"{rows} streamers are too many to compare all pairs without FAISS: install the extra "
            "cpu or gpu"
        ) from None
