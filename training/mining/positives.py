"""Positives: behavioural neighbours, weighted by their distance and by content similarity.

Behaviour means shared audiences where interactions are known, otherwise ID-embedding cosines.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import expit

from training.mining.two_hop import fill_empty_places
from training.numeric.blocks import blocks
from training.numeric.topk import (
    nearest,
    nearest_others,
    nearest_to,
    neighbour_graph,
)
from training.teachers.id_embeddings import MIN_SHARED
from training.teachers.label_noise import NoiseEstimate

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
        near: int64 (N, K), nearest by behaviour, best first.
        cumulative: float32 (N, K), running sums of their weights, for sampling.
        weights: (N, N) sparse, symmetric with the larger of both weights.
    """

    near: NDArray[np.int64]
    cumulative: NDArray[np.float32]
    weights: sp.csr_matrix

    @classmethod
    def of(cls, near: NDArray[np.int64], weights: NDArray[np.float32]) -> "Positives":
        """From candidates (N, K) and their non-negative weights (N, K)."""
        return cls(near, np.cumsum(weights, 1), neighbour_graph(near, weights))

    @property
    def anchors(self) -> NDArray[np.int64]:
        """Rows with at least one positive."""
        return np.flatnonzero(self.cumulative[:, -1] > 0)

    def draw(self, anchors: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw one positive per anchor (A,), by weight."""
        cumulative = self.cumulative[anchors]  # (A, K)
        at = (1 - rng.random(len(anchors), np.float32)) * cumulative[:, -1]  # in (0, total]
        pick = (cumulative < at[:, None]).sum(1).clip(0, self.near.shape[1] - 1)
        return self.near[anchors, pick]


class Behaviour(Protocol):
    """Relatedness of N streamers by user behaviour."""

    def candidates(
        self, count: int, able: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
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
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Implements `Behaviour`; weights are 0 where too few users are shared."""
        near, cosines = self._nearest(count, able)
        return near, self._weights(cosines)

    def completed(
        self, count: int, able: NDArray[np.bool_] | None, share: float
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_]]:
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
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        size = np.sqrt(np.diff(self.audience.indptr).clip(1)).astype(np.float32)
        by_user = self.audience.T.tocsr()

        def cosines(part: slice) -> NDArray[np.float32]:
            shared = (self.audience[part] @ by_user).toarray().astype(np.float32)
            shared[shared < MIN_SHARED] = 0
            return shared / size[part, None] / size

        return nearest_others(cosines, len(size), count, able)

    def related(self, rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Implements `Behaviour`: pairs that share at least `MIN_SHARED` users."""
        return (self.audience[rows] @ self.audience[others].T).toarray() >= MIN_SHARED

    def related_to(self, rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Implements `Behaviour`."""
        by_user, found = self.audience.T.tocsr(), np.zeros(others.shape, bool)
        for part in blocks(len(rows), by_user.shape[1]):
            shared = (self.audience[rows[part]] @ by_user).toarray()  # (b, N)
            found[part] = np.take_along_axis(shared, others[part], 1) >= MIN_SHARED
        return found


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
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Implements `Behaviour`."""
        near, cosines = nearest(self.directions, count, able)
        return near, np.exp((cosines - cosines[:, :1]) / self.temperature)

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
    near: NDArray[np.int64], weights: NDArray[np.float32], noise: NoiseEstimate
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
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
    found, cosines = nearest_to(noise.predicted[doubted], noise.vectors[able], count)
    other[doubted] = able[found]
    doubt = _INSTEAD * (1 - noise.trust[doubted])
    instead[doubted] = (
        np.exp((cosines - cosines[:, :1]) / _PREDICTED_TEMPERATURE)
        * doubt[:, None]
        * noise.trust[able[found]]
    )
    instead[other == np.arange(len(other))[:, None]] = 0
    return np.concatenate([near, other], 1), np.concatenate([own, instead], 1).astype(np.float32)


def weigh(
    near: NDArray[np.int64],
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
    c = np.zeros((rows, count), np.float32)
    for part in blocks(rows, count * content.shape[1]):
        c[part] = np.einsum("nd,nkd->nk", content[part], content[near[part]])
    theta = np.quantile((content * content[rng.permutation(rows)]).sum(1), 0.9)
    alike = expit((c - theta) / max(0.25 * c.std(), 1e-3))
    return Positives.of(near, (behaviour * (floor + (1 - floor) * alike)).astype(np.float32))
