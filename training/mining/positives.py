"""Positives: behavioural neighbours, weighted by their distance and by content similarity.

Behaviour means shared audiences where interactions are known, otherwise ID-embedding cosines.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import expit

from model_export.contract.calibration import MIN_SHARED
from training.mining.two_hop import fill_empty_places
from training.numeric.blocks import blocks
from training.numeric.nearest import EXACT_UP_TO, RECALL_DEPTH, nearest, search_among
from training.numeric.sparse import present, product_blocks, sparse_top_k
from training.numeric.topk import neighbour_graph
from training.teachers.label_noise import NoiseEstimate

_log = logging.getLogger(__name__)

_MOST_WATCHED = 1000
"""Streamers of a user that count in the search for shared audiences, drawn at random, if there are
more than `EXACT_UP_TO` streamers: the work grows with their square."""
_PROBES = 256
"""Streamers on which the recall with these samples is measured."""
_LEAST_WEIGHT = 1e-3
_DOUBT = 0.05
"""Doubt about a streamer's vector below this is ignored."""
_INSTEAD = 0.5
"""Weight of a predicted positive, relative to 1 for a behavioural one."""
_PREDICTED_TEMPERATURE = 0.1


@dataclass(frozen=True, eq=False)
class Positives:
    """The weighted positives of N streamers.

    Attributes:
        near: int32 (N, K), nearest by behaviour, best first.
        strength: float32 (N, K), their non-negative weights.
    """

    near: NDArray[np.int32]
    strength: NDArray[np.float32]

    @classmethod
    def of(cls, near: NDArray[np.integer], weights: NDArray[np.float32]) -> "Positives":
        """From candidates (N, K) and their non-negative weights (N, K)."""
        return cls(near.astype(np.int32, copy=False), weights)

    @cached_property
    def weights(self) -> sp.csr_matrix:
        """Weights of all pairs (N, N), symmetric with the larger of both weights."""
        return neighbour_graph(self.near, self.strength)

    @property
    def anchors(self) -> NDArray[np.int64]:
        """Rows with at least one positive."""
        return np.flatnonzero(self.strength.any(1))

    def draw(self, anchors: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw one positive per anchor (A,), by weight."""
        cumulative = np.cumsum(self.strength[anchors], 1)  # (A, K)
        at = (1 - rng.random(len(anchors), np.float32)) * cumulative[:, -1]  # in (0, total]
        pick = (cumulative < at[:, None]).sum(1).clip(0, self.near.shape[1] - 1)
        return self.near[anchors, pick].astype(np.int64)

    def among(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Weights of all pairs of some rows (R, R), of which any may repeat, like `weights`."""
        distinct, place = np.unique(rows, return_inverse=True)  # (U,), (R,)
        near = self.near[distinct]  # (U, K)
        column = np.searchsorted(distinct, near).clip(max=len(distinct) - 1)
        row, k = np.nonzero(distinct[column] == near)
        found = np.zeros((len(distinct), len(distinct)), np.float32)
        np.add.at(found, (row, column[row, k]), self.strength[distinct[row], k])
        return np.maximum(found, found.T)[place][:, place]

    def has(self, rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each row (R,) and its own others (R, K) are positives, in either direction."""
        found = np.zeros(others.shape, bool)
        for part in blocks(len(rows), others.shape[1] * self.near.shape[1]):
            row, other = rows[part], others[part]  # (b,), (b, K)
            forth = self.near[row][:, None] == other[:, :, None]  # (b, K, neighbours)
            found[part] = (forth & (self.strength[row] > 0)[:, None]).any(2)
            back = self.near[other] == row[:, None, None]
            found[part] |= (back & (self.strength[other] > 0)).any(2)
        return found


class Behaviour(Protocol):
    """Relatedness of N streamers by user behaviour."""

    def candidates(
        self, count: int, able: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.integer], NDArray[np.float32]]:
        """Nearest others (N, K), best first, and their weights (N, K) in [0, 1].

        Streamers that are not `able` (N,) come last.
        """
        ...

    def related(self, rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Related pairs (B, K) of rows and others, which must not be negatives."""
        ...

    def related_to(self, rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Related pairs of each row (R,) with its own others (R, K)."""
        ...


@dataclass(frozen=True, eq=False)
class SharedAudience:
    """Behaviour by shared audiences.

    weight = (t_ij / max_j t_ij) ** power,    t = cosine of audiences, 0 below `MIN_SHARED`

    Attributes:
        audience: binary (N, U).
        power: exponent of the share of the best cosine.
    """

    audience: sp.csr_matrix
    power: float

    def candidates(
        self, count: int, able: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.integer], NDArray[np.float32]]:
        """Implements `Behaviour`; weights are 0 where too few users are shared."""
        near, cosines = self._nearest(count, able)
        return near, self._weights(cosines)

    def completed(
        self, count: int, able: NDArray[np.bool_] | None, share: float
    ) -> tuple[NDArray[np.integer], NDArray[np.float32], NDArray[np.bool_]]:
        """Candidates, with empty places filled by two-hop neighbours.

        Args:
            count: K.
            able: see `candidates`.
            share: weight of two-hop neighbours, see `training.mining.two_hop`; 0 = no filling.

        Returns:
            Neighbours and weights (N, K), and which rows had empty places (N,).
        """
        near, cosines = self._nearest(count, able)
        weights = self._weights(cosines)
        few = np.any(weights <= 0, axis=1)
        if share:
            near, weights = fill_empty_places(near, cosines, weights, share, able)
        return near, weights, few

    def _weights(self, cosines: NDArray[np.float32]) -> NDArray[np.float32]:
        share = cosines / np.maximum(cosines[:, :1], 1e-9)
        return (share.clip(min=0) ** self.power * (share > 0)).astype(np.float32)

    def _nearest(
        self, count: int, able: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.integer], NDArray[np.float32]]:
        size = np.sqrt(np.diff(self.audience.indptr).clip(1)).astype(np.float32)
        count = min(count, len(size) - 1)
        near = np.zeros((len(size), count), np.int32)
        cosines = np.zeros((len(size), count), np.float32)
        for part, shared in self._shared(np.arange(len(size)), self._by_user):
            own = np.arange(part.start, part.stop)
            _to_cosines(shared, size[own], size)
            near[part], cosines[part] = sparse_top_k(shared, count, able, own)
        if self._by_user.nnz < self.audience.nnz:
            _log.info(
                "users who watch many count by a sample of %d streamers: recall@%d %.3f",
                *(_MOST_WATCHED, RECALL_DEPTH, self._recall(near, cosines, size, able)),
            )
        return near, cosines

    def _recall(
        self,
        near: NDArray[np.int32],
        cosines: NDArray[np.float32],
        size: NDArray[np.float32],
        able: NDArray[np.bool_] | None,
    ) -> float:
        """Share of the nearest by whole audiences that are found, on some streamers."""
        rng, everyone = np.random.default_rng(0), sp.csr_matrix(self.audience.T)
        rows = rng.choice(len(size), min(_PROBES, len(size)), replace=False)
        found, wanted = 0, 0
        for part, shared in self._shared(rows, everyone):
            own = rows[part]
            _to_cosines(shared, size[own], size)
            exact, values = sparse_top_k(shared, RECALL_DEPTH, able, own)
            first = np.where(cosines[own] > 0, near[own], -1)[:, :RECALL_DEPTH]
            for one, there, these in zip(exact, values > 0, first, strict=True):
                found += int(np.isin(one[there], these).sum())
            wanted += int((values > 0).sum())
        return found / max(wanted, 1)

    @cached_property
    def _by_user(self) -> sp.csr_matrix:
        """Streamers of each user, of very many a sample (U, N)."""
        by_user = sp.csr_matrix(self.audience.T)
        if len(self.audience.indptr) - 1 <= EXACT_UP_TO:
            return by_user
        rng, kept = np.random.default_rng(0), np.ones(by_user.nnz, bool)
        for user in np.flatnonzero(np.diff(by_user.indptr) > _MOST_WATCHED):
            watched = np.arange(by_user.indptr[user], by_user.indptr[user + 1])
            kept[rng.permutation(watched)[_MOST_WATCHED:]] = False
        by_user.data[~kept] = 0
        by_user.eliminate_zeros()
        return by_user

    def _shared(
        self, rows: NDArray[np.int64], by_user: sp.csr_matrix
    ) -> Iterator[tuple[slice, sp.csr_matrix]]:
        """Blocks of rows (R,), each with the number of users that it shares with all (b, N).

        Below `MIN_SHARED` none count.
        """
        audience = self.audience[rows]
        for part in product_blocks(audience, by_user):
            shared = sp.csr_matrix(audience[part] @ by_user)
            shared.data[shared.data < MIN_SHARED] = 0
            shared.eliminate_zeros()
            yield part, shared

    def related(self, rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Implements `Behaviour`: pairs that share at least `MIN_SHARED` users."""
        return (self.audience[rows] @ self.audience[others].T).toarray() >= MIN_SHARED

    def related_to(self, rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Implements `Behaviour`; of very many streamers by the sample of `candidates`."""
        found = np.zeros(others.shape, bool)
        for part, shared in self._shared(rows, self._by_user):
            found[part] = present(shared, others[part])
        return found


def _to_cosines(
    shared: sp.csr_matrix, size: NDArray[np.float32], sizes: NDArray[np.float32]
) -> None:
    """Turn numbers of shared users (b, N) into cosines, in place.

    Args:
        shared: of b streamers with all N.
        size: square roots of the b audiences' sizes.
        sizes: of all (N,).
    """
    row = np.repeat(size, np.diff(shared.indptr))
    shared.data = (shared.data / row / sizes[shared.indices]).astype(np.float32)


@dataclass(frozen=True, eq=False)
class IdSpace:
    """Behaviour by cosines of ID-embeddings.

    weight = exp((t_ij - max_j t_ij) / temperature),    t = cosine of ID-embeddings

    Attributes:
        directions: unit rows (N, E).
        temperature: of the weights.
        related_from: cosine from which two streamers are related.
    """

    directions: NDArray[np.float32]
    temperature: float
    related_from: float

    def candidates(
        self, count: int, able: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.integer], NDArray[np.float32]]:
        """Implements `Behaviour`."""
        near, cosines = nearest(self.directions, count, able)
        return near.astype(np.int32), np.exp((cosines - cosines[:, :1]) / self.temperature)

    def related(self, rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Implements `Behaviour`."""
        return self.directions[rows] @ self.directions[others].T > self.related_from

    def related_to(self, rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Implements `Behaviour`."""
        found = np.zeros(others.shape, bool)
        for part in blocks(len(rows), others.shape[1] * self.directions.shape[1]):
            pairs = self.directions[rows[part], None] * self.directions[others[part]]  # (b, K, E)
            found[part] = pairs.sum(2) > self.related_from
        return found


def trusted_only(
    near: NDArray[np.integer], weights: NDArray[np.float32], noise: NoiseEstimate
) -> tuple[NDArray[np.integer], NDArray[np.float32]]:
    """Weigh candidates (N, K) by label trust, and add predicted ones for doubted streamers.

    A pair is weighted by the trust in both ends. A doubted streamer also gets the streamers whose
    vectors are nearest to the vector predicted from its content, weighted by the doubt.

    Returns:
        Candidates and weights in [0, 1]: (N, K), or (N, 2K) if any streamer is doubted.
    """
    count = near.shape[1]
    own = weights * noise.trust[:, None] * noise.trust[near]
    own[own < _LEAST_WEIGHT] = 0
    doubted = np.flatnonzero((noise.trust < 1 - _DOUBT) & noise.predicted.any(1))
    able = np.flatnonzero(noise.trusted)
    if not len(doubted) or len(able) <= count:
        return near, own
    other = np.zeros_like(near)
    instead = np.zeros_like(own)
    search = search_among(noise.vectors[able], noise.predicted[doubted])
    for part in blocks(len(doubted), count):
        rows = doubted[part]
        found, cosines = search(noise.predicted[rows], count)  # (b, K)
        other[rows] = able[found]
        doubt = _INSTEAD * (1 - noise.trust[rows])
        instead[rows] = (
            np.exp((cosines - cosines[:, :1]) / _PREDICTED_TEMPERATURE)
            * doubt[:, None]
            * noise.trust[other[rows]]
        )
    instead[other == np.arange(len(other))[:, None]] = 0
    return np.concatenate([near, other], 1), np.concatenate([own, instead], 1).astype(np.float32)


def weigh(
    near: NDArray[np.integer],
    behaviour: NDArray[np.float32],
    content: NDArray[np.float32],
    floor: float,
    rng: np.random.Generator,
) -> Positives:
    """Weigh candidates by content similarity, a soft filter of behavioural positives.

    w_ij = behaviour_ij * (floor + (1 - floor) * s((c_ij - theta) / (0.25 std c))), with the
    logistic function s, content cosine c, and theta the 90th percentile of c over random pairs.

    Args:
        near: candidates (N, K).
        behaviour: weights by behaviour (N, K).
        content: unit content vectors (N, H).
        floor: factor for pairs with unrelated content.
        rng: draws the random pairs.
    """
    rows, count = near.shape
    other, random = rng.permutation(rows), np.zeros(rows, np.float32)
    c = np.zeros((rows, count), np.float32)
    for part in blocks(rows, count * content.shape[1]):
        c[part] = np.einsum("nd,nkd->nk", content[part], content[near[part]])
        random[part] = (content[part] * content[other[part]]).sum(1)
    theta, spread = np.quantile(random, 0.9), max(0.25 * c.std(), 1e-3)
    for part in blocks(rows, count):
        alike = expit((c[part] - theta) / spread)
        c[part] = behaviour[part] * (floor + (1 - floor) * alike)
    return Positives.of(near, c)
