"""Looks into those cells of an IVF index that a query needs, which are more for some than for most.

Cells are needed whose centre is nearly as near as the nearest one: a query in the middle of a
cluster takes one or two, one between clusters dozens. (Chen et al. 2021, "SPANN: Highly-efficient
Billion-scale Approximate Nearest Neighbor Search", section 3.3, "query-aware dynamic pruning".)
"""

from typing import Any, NamedTuple, cast

import faiss as untyped_faiss  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
from numpy.typing import NDArray

faiss = cast(Any, untyped_faiss)  # its own stubs have no types for its Python-side functions


class Reach(NamedTuple):
    """Which cells are looked into.

    Attributes:
        cells: the nearest ones, at most so many ...
        margin: ... whose centre's inner product is at most so much less than the nearest one's.
    """

    cells: int
    margin: float


class Cells:
    """A filled FAISS IVF index that does not change any more. Safe from several threads."""

    @staticmethod
    def are_in(index: Any) -> bool:
        """Whether it is one, and its centres are compared by inner products."""
        if not isinstance(index, faiss.IndexIVF):
            return False
        centres = faiss.downcast_index(index.quantizer)
        return isinstance(centres, faiss.IndexFlat | faiss.IndexHNSW)

    def __init__(self, index: Any) -> None:
        self._index = index
        self._centres = index.quantizer
        self._parameters: dict[int, Any] = {}  # by cells; to make them takes as long as 1,000 rows

    def search(self, queries: NDArray[np.float32], k: int, reach: Reach) -> NDArray[np.int64]:
        """Places of the k best rows (Q, k) for queries (Q, D), -1 where there are no more.

        Who finds fewer than k within the margin looks beyond it.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        products, cells = self._centres.search(queries, min(reach.cells, self._index.nlist))
        is_near = products >= products[:, :1] - reach.margin  # the first ones of each row (Q, C)
        if len(queries) == 1:
            near = int(np.count_nonzero(is_near))
            places = self._look_into(cells[:, :near], products[:, :near], queries, k)
        else:
            near = int(np.count_nonzero(is_near, axis=1).max())
            some = np.where(is_near, cells, -1)[:, :near]  # FAISS passes over -1
            places = self._look_into(some, products[:, :near], queries, k)
        lacking = places[:, -1] < 0
        if lacking.any():
            places[lacking] = self._look_into(
                cells[lacking], products[lacking], queries[lacking], k
            )
        return places

    def _look_into(
        self,
        cells: NDArray[np.int64],
        products: NDArray[np.float32],
        queries: NDArray[np.float32],
        k: int,
    ) -> NDArray[np.int64]:
        """Places (Q, k) in cells (Q, C), whose centres' products with the queries are known."""
        cells, products = np.ascontiguousarray(cells), np.ascontiguousarray(products)
        scores = np.empty((len(queries), k), np.float32)
        places = np.empty((len(queries), k), np.int64)
        self._index.search_preassigned_c(
            len(queries),
            faiss.swig_ptr(queries),
            k,
            faiss.swig_ptr(cells),
            faiss.swig_ptr(products),
            faiss.swig_ptr(scores),
            faiss.swig_ptr(places),
            False,
            self._as_parameters(cells.shape[1]),
        )
        return places

    def _as_parameters(self, cells: int) -> Any:
        found = self._parameters.get(cells)
        if found is None:
            found = self._parameters[cells] = faiss.SearchParametersIVF(nprobe=cells)
        return found
