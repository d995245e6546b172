"""The features of a corpus as flat arrays: what training computes on, instead of padded batches.

A row is a streamer (or a view of one). Its token entries are `ids[indptr[r]:indptr[r + 1]]`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from model_export.contract.features import Features, Featurizer
from model_export.contract.pieces import Piece
from model_export.contract.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Bags:
    """Features of R rows, before any float operation but pooling.

    Attributes:
        indptr: int64 (R + 1,), where each row's tokens begin.
        ids: int64 (T,) token ids, unknown ones included.
        counts: int64 (T,).
        modality: int64 (T,), 1 + place in `MODALITIES`.
        pooled: per space float32 (R, width), the mean of the row's unit vectors; zero when absent.
    """

    indptr: NDArray[np.int64]
    ids: NDArray[np.int64]
    counts: NDArray[np.int64]
    modality: NDArray[np.int64]
    pooled: tuple[NDArray[np.float32], ...]

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Token entries per row (R,)."""
        return np.diff(self.indptr)

    def take(self, rows: NDArray[np.int64]) -> "Bags":
        """The given rows, in that order; a row may be taken more than once."""
        lengths = self.lengths[rows]
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        entries = np.arange(indptr[-1]) + np.repeat(self.indptr[rows] - indptr[:-1], lengths)
        return Bags(
            indptr=indptr,
            ids=self.ids[entries],
            counts=self.counts[entries],
            modality=self.modality[entries],
            pooled=tuple(p[rows] for p in self.pooled),
        )

    def keep(self, entries: NDArray[np.bool_]) -> "Bags":
        """The same rows with a part of their token entries (T,)."""
        kept = np.concatenate([[0], np.cumsum(entries)])
        return replace(
            self,
            indptr=kept[self.indptr],
            ids=self.ids[entries],
            counts=self.counts[entries],
            modality=self.modality[entries],
        )

    def merge(self, group: NDArray[np.int64], groups: int) -> "Bags":
        """Rows of one group put together: equal tokens are counted, vectors averaged.

        Args:
            group: the group of each row (R,).
            groups: how many there are.
        """
        of_entry = np.repeat(group, self.lengths)
        keys = np.stack([of_entry, self.modality, self.ids])  # (3, T)
        unique, inverse = np.unique(keys, axis=1, return_inverse=True)
        counts = np.bincount(inverse.ravel(), self.counts, unique.shape[1]).astype(np.int64)
        pooled = []
        for p in self.pooled:
            present = np.bincount(group, p.any(1), groups).clip(1)  # (G,)
            total = np.zeros((groups, p.shape[1]), np.float32)
            np.add.at(total, group, p)
            pooled.append((total / present[:, None]).astype(np.float32))
        return Bags(
            indptr=np.searchsorted(unique[0], np.arange(groups + 1)),
            ids=unique[2],
            counts=counts,
            modality=unique[1],
            pooled=tuple(pooled),
        )


def corpus_bags(
    profiles: Iterable[Sequence[Piece]], vocabulary: Vocabulary
) -> tuple[Bags, NDArray[np.bool_]]:
    """Features of every profile, and whether it shows anything to encode (R,).

    Vectors in spaces that the vocabulary does not know are left out.
    """
    featurizer, known = Featurizer(vocabulary), known_pieces(vocabulary)
    features = [featurizer.from_pieces(known(pieces)) for pieces in profiles]
    usable = np.array([f.usable for f in features], bool)
    return bags_of(features, vocabulary), usable


def known_pieces(vocabulary: Vocabulary) -> Callable[[Sequence[Piece]], list[Piece]]:
    """A filter for the pieces that an encoder can read: no vectors of spaces it never saw."""
    spaces = {space.name for space in vocabulary.spaces}
    return lambda pieces: [p for p in pieces if p.kind != "vector" or p.space in spaces]


def bags_of(features: Sequence[Features], vocabulary: Vocabulary) -> Bags:
    """Features of single profiles, put together."""
    pooled = tuple(
        np.stack([mean_direction(f.vectors[i]) for f in features])
        if features
        else np.zeros((0, space.width), np.float32)
        for i, space in enumerate(vocabulary.spaces)
    )
    return Bags(
        indptr=np.concatenate([[0], np.cumsum([len(f.token_ids) for f in features])]).astype(
            np.int64
        ),
        ids=_joined([f.token_ids for f in features]),
        counts=_joined([f.token_counts for f in features]),
        modality=_joined([f.token_modality for f in features]),
        pooled=pooled,
    )


def _joined(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(0, np.int64), *parts])


def mean_direction(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of the unit vectors (P, W) -> (W,); zero for none. Same as `encoder.pool`."""
    if not len(vectors):
        return np.zeros(vectors.shape[1], np.float32)
    scale = np.sqrt((vectors.astype(np.float64) ** 2).sum(1, keepdims=True) + 1e-6)
    return (vectors / scale).mean(0).astype(np.float32)


def inverse_document_frequency(vocabulary: Vocabulary) -> NDArray[np.float32]:
    """Smooth idf, log((1 + N) / (1 + df)) + 1, per token id (size,); 0 for padding.

    Unknown tokens count as seen once less than known ones ever are: df = 0.
    """
    df = np.zeros(vocabulary.size)
    df[1 : 1 + len(vocabulary.tokens)] = vocabulary.document_frequency
    idf = np.log((1 + vocabulary.documents) / (1 + df)) + 1
    idf[0] = 0
    return idf.astype(np.float32)


def tf_idf(bags: Bags, vocabulary: Vocabulary) -> sp.csr_matrix:
    """Unit TF-IDF rows over the known tokens (R, 1 + V), column = token id."""
    known = (bags.ids > 0) & (bags.ids <= len(vocabulary.tokens))
    bags = bags.keep(known)
    weights = (1 + np.log(bags.counts)) * inverse_document_frequency(vocabulary)[bags.ids]
    x = sp.csr_matrix(
        (weights.astype(np.float32), bags.ids, bags.indptr),
        shape=(len(bags), 1 + len(vocabulary.tokens)),
    )
    x.sum_duplicates()
    norm = np.sqrt(np.asarray(x.multiply(x).sum(1)).ravel())
    return sp.csr_matrix(sp.diags_array(1 / np.maximum(norm, 1e-9)) @ x)
