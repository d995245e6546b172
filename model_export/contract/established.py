"""Established streamers, known to the recommender, and the cold-start vote among them.

A new streamer has no audience, but the established streamers that it resembles have one:

    p_i = softmax_i(z . z_i / temperature)                    similarity to voter i
    score_j = sum_i p_i (W_ij + own_share [i = j]) / (1 + own_share)

W is the behaviour graph: row i holds the streamers that share an audience with i, and sums to 1, or
to less where behaviour is not trusted. Each voter thus votes for its neighbours and, with a smaller
weight, for itself. This is the k-nearest-neighbour mapping of Gantner et al. (2010) from content to
behaviour, in a learned content space. Scores are non-negative and sum to at most 1.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_export.contract.errors import BundleError

VOTERS = 1000
"""Number of most similar streamers that vote; more change little and cost more."""


@dataclass(frozen=True, eq=False)
class BehaviourGraph:
    """Graph of shared audiences, a compressed sparse row matrix (N, N).

    Attributes:
        indptr: int64 (N + 1,), start of each row.
        indices: int32 (edges,), neighbours of each row.
        weights: float32 (edges,), non-negative; each row sums to at most 1.
        temperature: of the softmax over cosines.
        own_share: weight of a voter for itself, relative to 1 for all its neighbours together.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    weights: NDArray[np.float32]
    temperature: float
    own_share: float

    def shares(self, cosines: NDArray[np.float32]) -> NDArray[np.float32]:
        """Softmax weights of V voters (V,) by their cosines to the new streamer."""
        if not len(cosines):
            return np.zeros(0, np.float32)
        weights = np.exp((cosines - cosines.max()) / self.temperature)
        return (weights / weights.sum()).astype(np.float32)

    def count(self, voters: NDArray[np.int64], shares: NDArray[np.float32]) -> "Tally":
        """Count the votes.

        Args:
            voters: rows (V,).
            shares: weights of the voters (V,).
        """
        lengths = self.indptr[voters + 1] - self.indptr[voters]
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
    """Single votes, A of them, for N rows.

    Attributes:
        rows: N.
        to: int64 (A,), row that receives the vote.
        by: int64 (A,), place of the voter.
        amounts: float (A,), weight of the vote.
    """

    rows: int
    to: NDArray[np.int64]
    by: NDArray[np.int64]
    amounts: NDArray[np.floating]

    def scores(self) -> NDArray[np.float32]:
        """Score of every row (N,)."""
        return np.bincount(self.to, self.amounts, self.rows).astype(np.float32)

    def leading(self, wanted: NDArray[np.int64], most: int) -> list[list[int]]:
        """Places of the `most` voters that contributed most to each wanted row, descending."""
        is_wanted = np.zeros(self.rows, np.bool_)
        is_wanted[wanted] = True
        concerned = np.flatnonzero(is_wanted[self.to] & (self.amounts > 0))
        order = concerned[np.lexsort((-self.amounts[concerned], self.to[concerned]))]
        begin = np.searchsorted(self.to[order], wanted, "left").tolist()
        end = np.searchsorted(self.to[order], wanted, "right").tolist()
        return [
            self.by[order[start : min(stop, start + most)]].tolist()
            for start, stop in zip(begin, end, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class Established:
    """Streamers that the recommender knows.

    Attributes:
        ids: N streamer ids.
        vectors: float32 (N, E), ID-embeddings.
        graph: shared audiences; None if unknown.
    """

    ids: Sequence[str]
    vectors: NDArray[np.float32]
    graph: BehaviourGraph | None = None

    def dump(self) -> bytes:
        """Serialise to an npz file."""
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
        """Parse the output of `dump`.

        Raises:
            BundleError: the content is damaged, or its arrays are inconsistent.
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
            raise BundleError(f"{source}: an id is listed twice; export again")
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
        raise BundleError(f"{source}: the graph is inconsistent; export again")
    return BehaviourGraph(indptr, indices, weights, float(temperature), float(own_share))
