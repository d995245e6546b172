"""Positive pairs of supervised contrast: same label or duplicate group, or near by behaviour."""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.data import Dataset
from training.errors import DataError, UsageError
from training.mining.positives import IdSpace, Positives, SharedAudience
from training.numeric.blocks import blocks
from training.teachers.id_embeddings import audience_of, id_matrix

_QUERIES = 256
"""Most held-out queries; whether each is related to the gallery is kept in memory."""
_ID_TEMPERATURE = 0.1
"""Temperature of the sampling weights by ID cosine."""
_RELATED_ID_COSINE = 0.7


class Relation(Protocol):
    """A relation between streamers, given as data set rows."""

    @property
    def anchors(self) -> NDArray[np.int64]:
        """Rows related to at least one other."""
        ...

    def draw(self, anchors: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw a related row per anchor (A,)."""
        ...

    def alike(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the i-th rows of both arrays (P,) are related."""
        ...


class SameGroup:
    """Relation of streamers in the same group."""

    def __init__(self, groups: NDArray[np.int64], known: NDArray[np.int64]) -> None:
        """Index the members of each group.

        Args:
            groups: group number (N,), negative for none.
            known: rows that may be learned from.
        """
        self._groups = groups
        members = known[groups[known] >= 0]
        members = members[np.argsort(groups[members], kind="stable")]
        _, first, size = np.unique(groups[members], return_index=True, return_counts=True)
        self._members = members
        self._first, self._size, self._place = (np.zeros(len(groups), np.int64) for _ in range(3))
        self._first[members] = np.repeat(first, size)  # start of the group among the members
        self._size[members] = np.repeat(size, size)
        self._place[members] = np.arange(len(members)) - np.repeat(first, size)

    @property
    def anchors(self) -> NDArray[np.int64]:
        """Implements `Relation`."""
        return np.sort(self._members[self._size[self._members] > 1])

    def draw(self, anchors: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Implements `Relation`."""
        size = self._size[anchors]
        ahead = 1 + (rng.random(len(anchors)) * (size - 1)).astype(np.int64)
        return self._members[self._first[anchors] + (self._place[anchors] + ahead) % size]

    def alike(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Implements `Relation`."""
        return (self._groups[one] == self._groups[other]) & (self._groups[one] >= 0)


@dataclass(frozen=True, eq=False)
class NearByBehaviour:
    """Relation of streamers of which one is among the behavioural neighbours of the other.

    Attributes:
        rows: int64 (M,), ascending data set rows with known behaviour.
        positives: of these M rows.
    """

    rows: NDArray[np.int64]
    positives: Positives

    @property
    def anchors(self) -> NDArray[np.int64]:
        """Implements `Relation`."""
        return self.rows[self.positives.anchors]

    def draw(self, anchors: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Implements `Relation`; draws by weight."""
        return self.rows[self.positives.draw(np.searchsorted(self.rows, anchors), rng)]

    def alike(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Implements `Relation`."""
        known = np.isin(one, self.rows) & np.isin(other, self.rows)
        found = np.zeros(len(one), bool)
        if known.any():  # SciPy reads no values for no pairs
            places = (np.searchsorted(self.rows, side[known]) for side in (one, other))
            found[known] = np.asarray(self.positives.weights[tuple(places)]).ravel() > 0
        return found


def near_by_behaviour(
    dataset: Dataset, known: NDArray[np.int64], neighbours: int
) -> NearByBehaviour:
    """Neighbours by shared audience if audiences are known, otherwise by ID-embedding.

    Args:
        dataset: with interactions, relations or ID-embeddings.
        known: rows that may be learned from; no other behaviour is read.
        neighbours: neighbours per streamer.

    Raises:
        DataError: behaviour is known for fewer than two of these rows.
        UsageError: the data set has no behaviour.
    """
    audience = audience_of(dataset, known)
    if audience is not None:
        rows = known[np.diff(audience.indptr)[known] > 0]
        space = SharedAudience(audience[rows], power=1.0)
    elif dataset.id_embeddings is not None:
        vectors, present = id_matrix(dataset)
        rows = known[present[known]]
        norm = np.linalg.norm(vectors[rows], axis=1, keepdims=True)
        directions = (vectors[rows] / np.maximum(norm, 1e-9)).astype(np.float32)
        space = IdSpace(directions, _ID_TEMPERATURE, _RELATED_ID_COSINE)
    else:
        raise UsageError(
            f"--set positives=behaviour: {dataset.folder} has neither interactions nor relations "
            "nor id_embeddings; use positives=dropout"
        )
    if len(rows) < 2:
        raise DataError(
            f"{dataset.folder}: behaviour is known for only {len(rows)} training streamers; remove "
            "its file, or choose other splits"
        )
    near, weights = space.candidates(min(neighbours, len(rows) - 1))
    return NearByBehaviour(rows, Positives.of(near, weights))


def same_label(dataset: Dataset, known: NDArray[np.int64]) -> SameGroup:
    """Relation of streamers with the same label.

    Raises:
        UsageError: the data set has no labels.
    """
    if dataset.labels is None:
        raise UsageError(
            f"--set positives=labels: {dataset.folder} has no labels; use positives=dropout"
        )
    number = {label: i for i, label in enumerate(sorted({x for x in dataset.labels if x}))}
    groups = np.array([number[label] if label else -1 for label in dataset.labels], np.int64)
    return SameGroup(groups, known)


def known_duplicates(dataset: Dataset, known: NDArray[np.int64]) -> SameGroup:
    """Relation of known near-duplicates.

    Raises:
        UsageError: the data set has no known duplicates.
    """
    if dataset.duplicates is None:
        raise UsageError(
            f"--set positives=duplicates: {dataset.folder} has no duplicates; use positives=dropout"
        )
    return SameGroup(dataset.duplicates, known)


class AlikeSearch:
    """Validation: held-out streamers search for a related one among warm streamers.

    Attributes:
        rows: int64 (G,), ascending data set rows that are searched, with all queries.
    """

    def __init__(
        self,
        relation: Relation,
        held_out: NDArray[np.int64],
        gallery: NDArray[np.int64],
        rng: np.random.Generator,
        most: int,
    ) -> None:
        """Choose the queries.

        Args:
            relation: of the rows in the gallery.
            held_out: rows; those with a related one are queries.
            gallery: ascending rows that are searched.
            rng: samples the queries and the gallery if there are many.
            most: rows that are searched at most, beside the queries and a related one of each.
        """
        queries = np.intersect1d(relation.anchors, held_out)
        if len(queries) > _QUERIES:
            queries = np.sort(rng.choice(queries, _QUERIES, replace=False))
        if len(gallery) > most:
            some = rng.choice(gallery, most, replace=False)
            gallery = np.unique(np.concatenate([some, queries, relation.draw(queries, rng)]))
        self.rows, self._places = gallery, np.searchsorted(gallery, queries)
        self._alike = np.zeros((len(queries), len(gallery)), bool)
        for part in blocks(*self._alike.shape):
            asked = queries[part]
            pairs = np.repeat(asked, len(gallery)), np.tile(gallery, len(asked))
            self._alike[part] = relation.alike(*pairs).reshape(len(asked), -1)
        self._alike[np.arange(len(queries)), self._places] = False

    def mean_reciprocal_rank(self, vectors: NDArray[np.float32]) -> float:
        """MRR of the first related one, by unit vectors (G, D) of `rows`; NaN without queries.

        Others of its score precede it as often as in a random order.
        """
        if not len(self._places):
            return math.nan
        found = np.zeros(len(self._places))
        for part in blocks(*self._alike.shape):
            places, alike = self._places[part], self._alike[part]
            scores = vectors[places] @ vectors.T  # (b, G)
            scores[np.arange(len(places)), places] = -np.inf  # none finds itself
            best = np.where(alike, scores, -np.inf).max(1, keepdims=True)
            above, equal = (scores > best).sum(1), scores == best
            found[part] = 1 + above + (equal & ~alike).sum(1) / ((equal & alike).sum(1) + 1)
        return float((1 / found).mean())
