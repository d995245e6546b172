"""The features of a corpus as flat arrays: what training computes on, instead of padded batches.

A row is a streamer (or a view of one). Its token entries are `ids[indptr[r]:indptr[r + 1]]`.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

from model_export.contract.features import Features, Featurizer
from model_export.contract.pieces import Piece
from model_export.contract.vocabulary import Vocabulary
from training.features.pieces import GrowingPieces, PieceBags, directions, taken

LARGEST_COUNT = 2**16 - 1
"""Of a token in a row: as much as a profile can show, but for a few nobody reads to the end."""


@dataclass(frozen=True, eq=False)
class Bags:
    """Features of R rows, before any float operation but pooling, in the narrowest types.

    A million streamers with a hundred tokens each take 0.7 GB. What computes on a batch of rows
    widens the types; the exported graph reads int64.

    Attributes:
        indptr: int64 (R + 1,), where each row's tokens begin.
        ids: int32 (T,) token ids, unknown ones included.
        counts: uint16 (T,), at most `LARGEST_COUNT`.
        modality: uint8 (T,), 1 + place in `MODALITIES`.
        pooled: per space float32 (R, width), the mean of the row's unit vectors; zero when absent.
        pieces: the rows' pieces, where the vocabulary asks for them told apart; a token is listed
            once for every piece that shows it then, and its count is that of the whole modality.
    """

    indptr: NDArray[np.int64]
    ids: NDArray[np.int32]
    counts: NDArray[np.uint16]
    modality: NDArray[np.uint8]
    pooled: tuple[NDArray[np.float32], ...]
    pieces: PieceBags | None = None

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Token entries per row (R,)."""
        return np.diff(self.indptr)

    def take(self, rows: NDArray[np.int64]) -> "Bags":
        """The given rows, in that order; a row may be taken more than once."""
        indptr, entries = taken(self.indptr, rows)
        return Bags(
            indptr=indptr,
            ids=self.ids[entries],
            counts=self.counts[entries],
            modality=self.modality[entries],
            pooled=tuple(p[rows] for p in self.pooled),
            pieces=self.pieces and self.pieces.take(rows, entries),
        )

    def keep(self, entries: NDArray[np.bool_]) -> "Bags":
        """The same rows with a part of their token entries (T,)."""
        kept = np.add.reduceat(np.append(entries, False), self.indptr[:-1], dtype=np.int64)
        kept[self.lengths == 0] = 0  # `reduceat` has no empty sums
        return replace(
            self,
            indptr=np.concatenate([[0], np.cumsum(kept)]),
            ids=self.ids[entries],
            counts=self.counts[entries],
            modality=self.modality[entries],
            pieces=self.pieces and self.pieces.keep(entries),
        )

    def merge(self, group: NDArray[np.int64], groups: int) -> "Bags":
        """Rows of one group put together: equal tokens are counted, vectors averaged.

        Args:
            group: the group of each row (R,).
            groups: how many there are.
        """
        pooled = self._merged_vectors(group, groups)
        if self.pieces is not None:
            return self._joined(group, groups, pooled)
        of_entry = np.repeat(group, self.lengths)
        keys = np.stack([of_entry, self.modality, self.ids])  # int64 (3, T)
        unique, inverse = np.unique(keys, axis=1, return_inverse=True)
        counts = np.bincount(inverse.ravel(), self.counts, unique.shape[1])
        return Bags(
            indptr=np.searchsorted(unique[0], np.arange(groups + 1)),
            ids=unique[2].astype(np.int32),
            counts=counts.clip(max=LARGEST_COUNT).astype(np.uint16),
            modality=unique[1].astype(np.uint8),
            pooled=pooled,
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

    def _joined(
        self, group: NDArray[np.int64], groups: int, pooled: tuple[NDArray[np.float32], ...]
    ) -> "Bags":
        """The rows of a group behind each other; their pieces stay apart."""
        rows = self.take(np.argsort(group, kind="stable"))
        assert rows.pieces is not None
        sizes = np.bincount(group, minlength=groups)
        pieces = rows.pieces.joined(sizes, rows.indptr)
        indptr = rows.indptr[np.concatenate([[0], np.cumsum(sizes)])]
        of_entry = np.repeat(np.arange(groups), np.diff(indptr))
        keys = np.stack([of_entry, rows.modality, rows.ids])  # int64 (3, T)
        _, inverse, spread = np.unique(keys, axis=1, return_inverse=True, return_counts=True)
        shares = rows.counts / pieces.token_spread  # of what a part counts in all its pieces
        counts = np.bincount(inverse.ravel(), shares).round()
        return Bags(
            indptr=indptr,
            ids=rows.ids,
            counts=counts[inverse.ravel()].clip(1, LARGEST_COUNT).astype(np.uint16),
            modality=rows.modality,
            pooled=pooled,
            pieces=replace(pieces, token_spread=spread[inverse.ravel()].astype(np.uint16)),
        )


def corpus_bags(
    profiles: Iterable[Sequence[Piece]],
    vocabulary: Vocabulary,
    newest_s: Sequence[float] | None = None,
) -> tuple[Bags, NDArray[np.bool_]]:
    """Features of every profile, and whether it shows anything to encode (R,).

    Vectors in spaces that the vocabulary does not know are left out.

    Args:
        profiles: the pieces of each.
        vocabulary: what is known.
        newest_s: from when the ages of each are counted, where they are parts of streamers; may
            grow as the profiles are passed. None = from the newest piece of each.
    """
    featurizer, known = Featurizer(vocabulary), known_pieces(vocabulary)
    growing, usable = _GrowingBags(vocabulary), array("b")
    for pieces in profiles:
        since = None if newest_s is None else newest_s[len(usable)]
        features = featurizer.from_pieces(known(pieces), since)
        growing.add(features)
        usable.append(features.usable)
    return growing.bags(), np.frombuffer(usable, np.bool_)


def known_pieces(vocabulary: Vocabulary) -> Callable[[Sequence[Piece]], list[Piece]]:
    """A filter for the pieces that an encoder can read: no vectors of spaces it never saw."""
    spaces = {space.name for space in vocabulary.spaces}
    return lambda pieces: [p for p in pieces if p.kind != "vector" or p.space in spaces]


class _GrowingBags:
    """Bags to which one row after the other is added, with little more memory than they take."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._lengths, self._ids = array("q"), array("i")
        self._counts, self._modality = array("H"), array("B")
        self._pooled = [(array("f"), space.width) for space in vocabulary.spaces]
        self._pieces = GrowingPieces(vocabulary.spaces) if vocabulary.piece_table else None

    def add(self, features: Features) -> None:
        """Add the features of a profile as a row."""
        counts = features.token_counts.clip(max=LARGEST_COUNT)
        self._lengths.append(len(features.token_ids))
        self._ids.frombytes(features.token_ids.astype(np.int32).tobytes())
        self._counts.frombytes(counts.astype(np.uint16).tobytes())
        self._modality.frombytes(features.token_modality.astype(np.uint8).tobytes())
        for (pooled, _), vectors in zip(self._pooled, features.vectors, strict=True):
            pooled.frombytes(mean_direction(vectors).tobytes())
        if self._pieces is not None:
            self._pieces.add(features)

    def bags(self) -> Bags:
        """All rows that were added; they share memory with this."""
        return Bags(
            indptr=np.concatenate([[0], np.cumsum(np.frombuffer(self._lengths, np.int64))]),
            ids=np.frombuffer(self._ids, np.int32),
            counts=np.frombuffer(self._counts, np.uint16),
            modality=np.frombuffer(self._modality, np.uint8),
            pooled=tuple(
                np.frombuffer(pooled, np.float32).reshape(-1, width)
                for pooled, width in self._pooled
            ),
            pieces=self._pieces and self._pieces.bags(),
        )


def mean_direction(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of the unit vectors (P, W) -> (W,); zero for none. Same as `encoder.pool`."""
    if not len(vectors):
        return np.zeros(vectors.shape[1], np.float32)
    return directions(vectors).mean(0).astype(np.float32)


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
    weights = 1 + np.log(bags.counts, dtype=np.float32)
    weights *= inverse_document_frequency(vocabulary)[bags.ids]
    if bags.pieces is not None:
        weights /= bags.pieces.token_spread
    x = sp.csr_matrix(
        (weights, bags.ids, bags.indptr), shape=(len(bags), 1 + len(vocabulary.tokens))
    )
    x.sum_duplicates()
    normalize(x, copy=False)
    return x
