"""Bags: features of a corpus as flat arrays in compressed-row form, without padding.

A row is a streamer (or a view of one). Its token entries are `ids[indptr[r]:indptr[r + 1]]`.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

from model_export.contract.features import Features, Featurizer
from model_export.contract.pieces import Piece
from model_export.contract.vocabulary import Vocabulary

LARGEST_COUNT = 2**16 - 1
"""Largest count of a token in a row; larger counts are clipped."""


@dataclass(frozen=True, eq=False)
class Bags:
    """Bag-of-tokens features of R rows in compact types, before float operations except pooling.

    A million streamers with a hundred tokens each take 0.7 GB. Batches are widened when they are
    used; the exported graph reads int64.

    Attributes:
        indptr: int64 (R + 1,), start of each row's tokens.
        ids: int32 (T,), token ids including unknown buckets.
        counts: uint16 (T,), at most `LARGEST_COUNT`.
        modality: uint8 (T,), 1 + place in `MODALITIES`.
        pooled: per space float32 (R, width), mean of the row's unit vectors; zero if absent.
        behaviour: (R, K), what a kernel layer predicts of the rows; None = not computed. It is
            lost where rows change.
    """

    indptr: NDArray[np.int64]
    ids: NDArray[np.int32]
    counts: NDArray[np.uint16]
    modality: NDArray[np.uint8]
    pooled: tuple[NDArray[np.float32], ...]
    behaviour: NDArray[np.floating] | None = None

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Token entries per row (R,)."""
        return np.diff(self.indptr)

    def take(self, rows: NDArray[np.int64]) -> "Bags":
        """Select rows in the given order; rows may repeat."""
        lengths = self.lengths[rows]
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        entries = np.arange(indptr[-1]) + np.repeat(self.indptr[rows] - indptr[:-1], lengths)
        return Bags(
            indptr=indptr,
            ids=self.ids[entries],
            counts=self.counts[entries],
            modality=self.modality[entries],
            pooled=tuple(p[rows] for p in self.pooled),
            behaviour=None if self.behaviour is None else self.behaviour[rows],
        )

    def keep(self, entries: NDArray[np.bool_]) -> "Bags":
        """Keep a part of the token entries (T,) of all rows."""
        kept = np.add.reduceat(np.append(entries, False), self.indptr[:-1], dtype=np.int64)
        kept[self.lengths == 0] = 0  # `reduceat` has no empty sums
        return replace(
            self,
            indptr=np.concatenate([[0], np.cumsum(kept)]),
            ids=self.ids[entries],
            counts=self.counts[entries],
            modality=self.modality[entries],
            behaviour=None,
        )

    def without(self, tokens: Sequence[NDArray[np.int64]]) -> "Bags":
        """Drop the given token ids of each row (R,), in all modalities."""
        rows = np.repeat(np.arange(len(self)), self.lengths)
        dropped = np.repeat(np.arange(len(self)), [len(each) for each in tokens])
        size = 1 + max([0, *(int(each.max()) for each in (self.ids, *tokens) if len(each))])
        keys = dropped * size + np.concatenate([np.zeros(0, np.int64), *tokens])
        return self.keep(~np.isin(rows * size + self.ids, keys))

    def merge(self, group: NDArray[np.int64], groups: int) -> "Bags":
        """Merge rows by group: counts of equal tokens are added, vectors averaged.

        Args:
            group: group of each row (R,).
            groups: number of groups.
        """
        of_entry = np.repeat(group, self.lengths)
        keys = np.stack([of_entry, self.modality, self.ids])  # int64 (3, T)
        unique, inverse = np.unique(keys, axis=1, return_inverse=True)
        counts = np.bincount(inverse.ravel(), self.counts, unique.shape[1])
        return Bags(
            indptr=np.searchsorted(unique[0], np.arange(groups + 1)),
            ids=unique[2].astype(np.int32),
            counts=counts.clip(max=LARGEST_COUNT).astype(np.uint16),
            modality=unique[1].astype(np.uint8),
            pooled=self._merged_vectors(group, groups),
        )

    def _merged_vectors(
        self, group: NDArray[np.int64], groups: int
    ) -> tuple[NDArray[np.float32], ...]:
        pooled = []
        for p in self.pooled:
            present = np.bincount(group, p.any(1), groups).clip(1)  # (G,)
            total = np.zeros((groups, p.shape[1]), np.float32)
            np.add.at(total, group, p)
            pooled.append((total / present[:, None]).astype(np.float32))
        return tuple(pooled)


def corpus_bags(
    profiles: Iterable[Sequence[Piece]], vocabulary: Vocabulary
) -> tuple[Bags, NDArray[np.bool_]]:
    """Featurise profiles; also returns whether each has usable content (R,).

    Vectors in spaces unknown to the vocabulary are dropped.

    Args:
        profiles: pieces of each profile.
        vocabulary: of the encoder.
    """
    return bags_of(corpus_features(profiles, vocabulary), vocabulary)


def corpus_features(
    profiles: Iterable[Sequence[Piece]], vocabulary: Vocabulary
) -> Iterator[Features]:
    """Features of each profile, without vectors in spaces unknown to the vocabulary."""
    featurizer, known = Featurizer(vocabulary), known_pieces(vocabulary)
    return (featurizer.from_pieces(known(pieces)) for pieces in profiles)


def bags_of(features: Iterable[Features], vocabulary: Vocabulary) -> tuple[Bags, NDArray[np.bool_]]:
    """Bags of the features of R profiles; also returns whether each has usable content (R,)."""
    growing, usable = _GrowingBags(vocabulary), array("b")
    for each in features:
        growing.add(each)
        usable.append(each.usable)
    return growing.bags(), np.frombuffer(usable, np.bool_)


def known_pieces(vocabulary: Vocabulary) -> Callable[[Sequence[Piece]], list[Piece]]:
    """Filter that drops vectors in spaces unknown to the vocabulary."""
    spaces = {space.name for space in vocabulary.spaces}
    return lambda pieces: [p for p in pieces if p.kind != "vector" or p.space in spaces]


class _GrowingBags:
    """Builds bags row by row in compact arrays."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._lengths, self._ids = array("q"), array("i")
        self._counts, self._modality = array("H"), array("B")
        self._pooled = [(array("f"), space.width) for space in vocabulary.spaces]

    def add(self, features: Features) -> None:
        """Append the features of a profile as a row."""
        counts = features.token_counts.clip(max=LARGEST_COUNT)
        self._lengths.append(len(features.token_ids))
        self._ids.frombytes(features.token_ids.astype(np.int32).tobytes())
        self._counts.frombytes(counts.astype(np.uint16).tobytes())
        self._modality.frombytes(features.token_modality.astype(np.uint8).tobytes())
        for (pooled, _), vectors in zip(self._pooled, features.vectors, strict=True):
            pooled.frombytes(mean_direction(vectors).tobytes())

    def bags(self) -> Bags:
        """Bags of all rows so far; they share memory with this object."""
        return Bags(
            indptr=np.concatenate([[0], np.cumsum(np.frombuffer(self._lengths, np.int64))]),
            ids=np.frombuffer(self._ids, np.int32),
            counts=np.frombuffer(self._counts, np.uint16),
            modality=np.frombuffer(self._modality, np.uint8),
            pooled=tuple(
                np.frombuffer(pooled, np.float32).reshape(-1, width)
                for pooled, width in self._pooled
            ),
        )


def mean_direction(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of the unit vectors (P, W) -> (W,), like `models.encoder.pool`; zero without any."""
    if not len(vectors):
        return np.zeros(vectors.shape[1], np.float32)
    scale = np.sqrt((vectors.astype(np.float64) ** 2).sum(1, keepdims=True) + 1e-6)
    return (vectors / scale).mean(0).astype(np.float32)


def inverse_document_frequency(vocabulary: Vocabulary) -> NDArray[np.float32]:
    """Smoothed idf per token id (size,), see `Vocabulary`."""
    return vocabulary.inverse_document_frequency


def tf_idf(bags: Bags, vocabulary: Vocabulary) -> sp.csr_matrix:
    """Unit TF-IDF rows over the known tokens (R, 1 + V), column = token id."""
    known = (bags.ids > 0) & (bags.ids <= len(vocabulary.tokens))
    bags = bags.keep(known)
    weights = 1 + np.log(bags.counts, dtype=np.float32)
    weights *= inverse_document_frequency(vocabulary)[bags.ids]
    x = sp.csr_matrix(
        (weights, bags.ids, bags.indptr), shape=(len(bags), 1 + len(vocabulary.tokens))
    )
    x.sum_duplicates()
    normalize(x, copy=False)
    return x
