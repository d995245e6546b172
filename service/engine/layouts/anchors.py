"""A fitted layout, and places on it by the nearest anchors."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import faiss as untyped_faiss  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
from numpy.typing import NDArray

from service.engine.layouts import STEPS

faiss = cast(Any, untyped_faiss)  # its own stubs have no types for its Python-side functions

MOST_ANCHORS = 100_000
"""A layout is fitted on so many streamers at most."""
_NEIGHBOURS = 8
_EXACT_ROWS = 20_000
"""Anchors of which each is looked at to find the nearest."""
_PROBED_LISTS = 8
_POINTS_PER_LIST = 40
_TINY = 1e-6
"""Of squared distances: what 16-bit numbers can't tell apart."""
_MARGIN = 0.05


@dataclass(frozen=True)
class Frame:
    """The square of the plane that a map shows: its lowest corner, and the length of its sides."""

    x: float
    y: float
    size: float

    @classmethod
    def around(cls, places: NDArray[np.float32], before: "Frame | None" = None) -> "Frame":
        """The frame of places (n, 2): the one before if it has room for them."""
        low, high = places.min(0), places.max(0)
        if before is not None:
            corner = np.array([before.x, before.y])
            if (low >= corner).all() and (high <= corner + before.size).all():
                return before
        size = max(float((high - low).max()), _TINY) * (1 + 2 * _MARGIN)
        x, y = ((low + high) / 2 - size / 2).tolist()
        return cls(x, y, size)

    def steps(self, places: NDArray[np.float32]) -> NDArray[np.uint16]:
        """Places (n, 2) in steps; those outside lie on the edge."""
        shares = (places - np.array([self.x, self.y])) / self.size
        return np.rint(np.clip(shares, 0, 1) * STEPS).astype(np.uint16)


@dataclass(frozen=True, eq=False)
class Anchors:
    """Streamers that a layout was fitted on, as they were then.

    Attributes:
        keys: uint64 (n,) of their ids, ascending; see `keys_of`.
        vectors: float16 (n, D), of unit length.
        places: float32 (n, 2), on the plane.
        frame: what is shown of it.
    """

    keys: NDArray[np.uint64]
    vectors: NDArray[np.float16]
    places: NDArray[np.float32]
    frame: Frame


def keys_of(ids: Iterable[str]) -> NDArray[np.uint64]:
    """Hashes of ids (n,). The smallest ones are a sample that stays nearly the same as ids come."""
    digests = b"".join(hashlib.blake2b(name.encode(), digest_size=8).digest() for name in ids)
    return np.frombuffer(digests, ">u8").astype(np.uint64)


class Placer:
    """Places streamers by the anchors nearest to them: always the same for the same vector.

    It does not change any more, and may be used from several threads.
    """

    def __init__(self, anchors: Anchors) -> None:
        """Index the anchors; takes a second or two for 100,000, so call it in a thread."""
        faiss.omp_set_num_threads(1)  # of this thread; searches need the other cores
        self.frame = anchors.frame
        self._places = anchors.places
        vectors = anchors.vectors.astype(np.float32)
        count, width = vectors.shape
        self._index: Any = faiss.IndexFlatIP(width)
        if count > _EXACT_ROWS:
            lists = int(2 ** round(np.log2(2 * np.sqrt(count))))
            coarse = faiss.IndexFlatIP(width)
            self._index = faiss.IndexIVFFlat(coarse, width, lists, faiss.METRIC_INNER_PRODUCT)
            self._index.cp.niter = 8
            drawn = np.random.default_rng(count).permutation(count)[: _POINTS_PER_LIST * lists]
            self._index.train(vectors[np.sort(drawn)])
            self._index.nprobe = _PROBED_LISTS
        self._index.add(vectors)

    @property
    def dim(self) -> int:
        """Width of the vectors that it places."""
        return int(self._index.d)

    def place(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Places (B, 2) of vectors (B, D): the mean of their nearest anchors' places.

        An anchor counts by the inverse of the fourth power of its distance: who is a copy of one
        lies where it lies, and who is between two groups lies with the nearer one.
        """
        faiss.omp_set_num_threads(1)
        count = min(_NEIGHBOURS, len(self._places))
        cosines, rows = self._index.search(np.ascontiguousarray(vectors), count)  # (B, k)
        squares = np.maximum(2 - 2 * cosines, _TINY)
        weights = np.where(rows >= 0, (squares.min(1, keepdims=True) / squares) ** 2, 0)
        weights /= weights.sum(1, keepdims=True)
        return np.einsum("bk,bkd->bd", weights, self._places[rows]).astype(np.float32)
