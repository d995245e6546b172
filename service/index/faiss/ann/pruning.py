"""Query-aware pruning of an IVF index: each query probes as many inverted lists as it needs.

Lists are needed whose centroid is nearly as near as the nearest one: a query in the middle of a
cluster takes one or two, one between clusters dozens. (Chen et al. 2021, "SPANN: Highly-efficient
Billion-scale Approximate Nearest Neighbor Search", section 3.3, "query-aware dynamic pruning".)
"""

from typing import Any, NamedTuple, cast

import faiss as untyped_faiss  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
from numpy.typing import NDArray

faiss = cast(Any, untyped_faiss)  # its own stubs have no types for its Python-side functions


class Reach(NamedTuple):
    """Which inverted lists a query probes.

    Attributes:
        nprobe: the nearest lists, at most so many ...
        margin: ... whose centroid's inner product is at most so much less than the nearest one's.
    """

    nprobe: int
    margin: float


class InvertedLists:
    """A filled FAISS IVF index that does not change any more. Safe from several threads."""

    @staticmethod
    def are_in(index: Any) -> bool:
        """Whether an index is IVF, and its centroids are compared by inner products."""
        if not isinstance(index, faiss.IndexIVF):
            return False
        centroids = faiss.downcast_index(index.quantizer)
        return isinstance(centroids, faiss.IndexFlat | faiss.IndexHNSW)

    def __init__(self, index: Any) -> None:
        self._index = index
        self._centroids = index.quantizer
        self._parameters: dict[int, Any] = {}  # by nprobe; making one takes as long as 1,000 rows

    def search(self, queries: NDArray[np.float32], k: int, reach: Reach) -> NDArray[np.int64]:
        """Places of the k best rows (Q, k) for queries (Q, D), -1 where there are no more.

        A query that finds fewer than k within the margin probes beyond it.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        products, lists = self._centroids.search(queries, min(reach.nprobe, self._index.nlist))
        is_near = products >= products[:, :1] - reach.margin  # the first ones of each row (Q, C)
        if len(queries) == 1:
            near = int(np.count_nonzero(is_near))
            places = self._probe(lists[:, :near], products[:, :near], queries, k)
        else:
            near = int(np.count_nonzero(is_near, axis=1).max())
            some = np.where(is_near, lists, -1)[:, :near]  # FAISS passes over -1
            places = self._probe(some, products[:, :near], queries, k)
        lacking = places[:, -1] < 0
        if lacking.any():
            places[lacking] = self._probe(lists[lacking], products[lacking], queries[lacking], k)
        return places

    def _probe(
        self,
        lists: NDArray[np.int64],
        products: NDArray[np.float32],
        queries: NDArray[np.float32],
        k: int,
    ) -> NDArray[np.int64]:
        """Places (Q, k) in lists (Q, C), whose centroids' products with the queries are known."""
        lists, products = np.ascontiguousarray(lists), np.ascontiguousarray(products)
        scores = np.empty((len(queries), k), np.float32)
        places = np.empty((len(queries), k), np.int64)
        self._index.search_preassigned_c(
            len(queries),
            faiss.swig_ptr(queries),
            k,
            faiss.swig_ptr(lists),
            faiss.swig_ptr(products),
            faiss.swig_ptr(scores),
            faiss.swig_ptr(places),
            False,
            self._as_parameters(lists.shape[1]),
        )
        return places

    def _as_parameters(self, nprobe: int) -> Any:
        found = self._parameters.get(nprobe)
        if found is None:
            found = self._parameters[nprobe] = faiss.SearchParametersIVF(nprobe=nprobe)
        return found
