"""The features of a whole corpus as flat arrays: what training computes on instead of padded batches.

A row is a streamer (or a view of one). Its token entries are `ids[indptr[r]:indptr[r + 1]]`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from model_export.contract.features import Features, Featurizer
from model_export.contract.pieces import Piece
from model_export.contract.vocabulary import Vocabulary

Array = NDArray[np.generic]


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

    def row_of_entry(self) -> NDArray[np.int64]:
        """The row of each token entry (T,)."""
        return np.repeat(np.arange(len(self)), self.lengths)


def corpus_bags(
    profiles: Iterable[Sequence[Piece]], vocabulary: Vocabulary
) -> tuple[Bags, NDArray[np.bool_]]:
    """Features of every profile, and whether it shows anything to encode (R,).

    Vectors in spaces that the vocabulary does not know are left out.
    """
    featurizer = Featurizer(vocabulary)
    known = {space.name for space in vocabulary.spaces}
    features = [
        featurizer.from_pieces([p for p in pieces if p.kind != "vector" or p.space in known])
        for pieces in profiles
    ]
    usable = np.array([f.usable for f in features], bool)
    return bags_of(features, vocabulary), usable


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
