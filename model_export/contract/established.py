"""The streamers that the recommender knows, and how they place a new one among themselves.

A new streamer has no audience, but the established ones that it resembles have:

    p_i = softmax_i(z . z_i / temperature)                    whom it resembles
    score_j = sum_i p_i (W_ij + own_share [i = j]) / (1 + own_share)

W is the graph of behaviour: row i says which others the audience of i watches, and sums to 1, or
to less where behaviour is not to be trusted. So each established streamer votes for its
neighbours, and a little for itself. This is the k-nearest-neighbour mapping of Gantner et al. 2010
from content to behaviour, with a learned content space. Scores are not negative and sum to at most
1.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_export.contract.errors import BundleError

VOTERS = 1000
"""So many of the most alike vote; measured: more change little and cost more."""


@dataclass(frozen=True, eq=False)
class BehaviourGraph:
    """Which streamers share an audience; N rows as a compressed sparse matrix.

    Attributes:
        indptr: int64 (N + 1,), where each row begins.
        indices: int32 (edges,), the neighbours of each row.
        weights: float32 (edges,), not negative; each row sums to at most 1.
        temperature: of the softmax over cosines.
        own_share: a voter's weight for itself, beside 1 for all its neighbours together.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    weights: NDArray[np.float32]
    temperature: float
    own_share: float

    def shares(self, cosines: NDArray[np.float32]) -> NDArray[np.float32]:
        """How much each of V voters counts (V,), by its cosine to the new streamer; sums to 1."""
        if not len(cosines):
            return np.zeros(0, np.float32)
        weights = np.exp((cosines - cosines.max()) / self.temperature)
        return (weights / weights.sum()).astype(np.float32)

    def count(self, voters: NDArray[np.int64], shares: NDArray[np.float32]) -> "Tally":
        """Count the votes.

        Args:
            voters: rows (V,).
            shares: how much each counts (V,).
        """
        lengths = np.diff(self.indptr)[voters]
        first = np.cumsum(lengths) - lengths
        entries: NDArray[np.int64] = np.repeat(self.indptr[voters] - first, lengths)
        entries = entries + np.arange(len(entries))
        places = np.arange(len(voters))
        amounts = np.repeat(shares, lengths) * self.weights[entries]
        return Tally(
            rows=len(self.indptr) - 1,
            to=np.concatenate([self.indices[entries].astype(np.int64), voters]),
            by=np.concatenate([np.repeat(places, lengths), places]),
            amounts=np.concatenate([amounts, self.own_share * shares]) / (1 + self.own_share),
        )


@dataclass(frozen=True, eq=False)
class Tally:
    """Votes that were given, A of them.

    Attributes:
        rows: N.
        to: int64 (A,), the row that each goes to.
        by: int64 (A,), the place of its voter.
        amounts: float (A,).
    """

    rows: int
    to: NDArray[np.int64]
    by: NDArray[np.int64]
    amounts: NDArray[np.floating]

    def scores(self) -> NDArray[np.float32]:
        """The score of every row (N,)."""
        return np.bincount(self.to, self.amounts, self.rows).astype(np.float32)

    def leading(self, wanted: NDArray[np.int64], most: int) -> list[list[int]]:
        """For each wanted row the places of those who gave most to it, the weightiest first."""
        concerned = np.flatnonzero(np.isin(self.to, wanted) & (self.amounts > 0))
        order = concerned[np.lexsort((-self.amounts[concerned], self.to[concerned]))]
        begin = np.searchsorted(self.to[order], wanted, "left").tolist()
        end = np.searchsorted(self.to[order], wanted, "right").tolist()
        return [
            self.by[order[start : min(stop, start + most)]].tolist()
            for start, stop in zip(begin, end, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class Established:
    """The streamers that the recommender knows.

    Attributes:
        ids: N of them.
        vectors: float32 (N, E), their ID-embeddings.
        graph: who shares an audience with whom; None where nothing was known of it.
    """

    ids: Sequence[str]
    vectors: NDArray[np.float32]
    graph: BehaviourGraph | None = None

    def dump(self) -> bytes:
        """As an npz file."""
        arrays = {"ids": np.array(self.ids, np.str_), "vectors": self.vectors}
        if self.graph is not None:
            graph = self.graph
            arrays |= {
                "graph_indptr": graph.indptr.astype(np.int64),
                "graph_indices": graph.indices.astype(np.int32),
                "graph_weights": graph.weights.astype(np.float32),
                "graph_settings": np.array([graph.temperature, graph.own_share]),
            }
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **arrays)
        return content.getvalue()

    @classmethod
    def parse(cls, content: bytes, source: str) -> "Established":
        """What `dump` made.

        Raises:
            BundleError: it is damaged, or its arrays are not what they should be.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as blob:
                arrays = {name: blob[name] for name in blob.files}
            ids, vectors = arrays["ids"], arrays["vectors"]
        except Exception as error:  # NumPy's readers raise many kinds
            raise BundleError(f"{source} can't be read: {error}; export again") from error
        if ids.dtype.kind != "U" or vectors.dtype.kind != "f":
            raise BundleError(f"{source}: ids are {ids.dtype} and vectors {vectors.dtype}")
        if ids.ndim != 1 or vectors.ndim != 2 or len(ids) != len(vectors):
            raise BundleError(
                f"{source}: ids have the shape {ids.shape}, vectors {vectors.shape}; export again"
            )
        if not np.isfinite(vectors).all():
            raise BundleError(f"{source}: not all numbers are finite; export again")
        if len(np.unique(ids)) < len(ids):
            raise BundleError(f"{source}: an id stands there twice; export again")
        graph = _graph(arrays, len(ids), source) if "graph_indptr" in arrays else None
        return cls(ids.tolist(), vectors.astype(np.float32), graph)


def _graph(arrays: dict[str, NDArray[np.generic]], rows: int, source: str) -> BehaviourGraph:
    try:
        indptr = arrays["graph_indptr"].astype(np.int64)
        indices = arrays["graph_indices"].astype(np.int32)
        weights = arrays["graph_weights"].astype(np.float32)
        temperature, own_share = arrays["graph_settings"].astype(np.float64).tolist()
    except (KeyError, ValueError, TypeError) as error:
        raise BundleError(f"{source}: the graph is incomplete ({error}); export again") from error
    sound = (
        indptr.shape == (rows + 1,)
        and indptr[0] == 0
        and bool((np.diff(indptr) >= 0).all())
        and indices.shape == weights.shape == (indptr[-1],)
        and bool(((indices >= 0) & (indices < rows)).all())
        and bool(np.isfinite(weights).all() and (weights >= 0).all())
        and np.isfinite([temperature, own_share]).all()
        and temperature > 0
        and own_share >= 0
    )
    if not sound:
        raise BundleError(f"{source}: the graph contradicts itself; export again")
    return BehaviourGraph(indptr, indices, weights, float(temperature), float(own_share))
