"""Piece tables of many rows as flat arrays, for encoders that gate or fuse pieces."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model_export.contract.features import Features
from model_export.contract.vocabulary import Space


@dataclass(frozen=True, eq=False)
class VectorBags:
    """Unit vectors of R rows in one space, V of them.

    Attributes:
        indptr: int64 (R + 1,), start of each row's vectors.
        values: float32 (V, W).
        piece: int32 (V,), place of the owning piece in the row.
    """

    indptr: NDArray[np.int64]
    values: NDArray[np.float32]
    piece: NDArray[np.int32]

    def take(self, rows: NDArray[np.int64]) -> "VectorBags":
        """Select rows in the given order."""
        indptr, entries = taken(self.indptr, rows)
        return VectorBags(indptr, self.values[entries], self.piece[entries])

    def keep(self, entries: NDArray[np.bool_]) -> "VectorBags":
        """Keep a part of the vectors (V,) of all rows."""
        indptr = np.concatenate([[0], np.cumsum(entries)])[self.indptr]
        return VectorBags(indptr, self.values[entries], self.piece[entries])


@dataclass(frozen=True, eq=False)
class PieceBags:
    """Pieces of R rows, Q of them, and the owners of the T tokens of `Bags`.

    Attributes:
        token_piece: int32 (T,), place of the owning piece in the row; ascending within a row.
        token_spread: uint16 (T,), number of pieces of the modality with the token.
        indptr: int64 (R + 1,), start of each row's pieces.
        modality: uint8 (Q,), 1 + place in `MODALITIES`.
        age: uint8 (Q,), age class.
        vectors: per space.
    """

    token_piece: NDArray[np.int32]
    token_spread: NDArray[np.uint16]
    indptr: NDArray[np.int64]
    modality: NDArray[np.uint8]
    age: NDArray[np.uint8]
    vectors: tuple[VectorBags, ...]

    def take(self, rows: NDArray[np.int64], tokens: NDArray[np.int64]) -> "PieceBags":
        """Select rows in the given order, with their token entries."""
        indptr, entries = taken(self.indptr, rows)
        return PieceBags(
            self.token_piece[tokens],
            self.token_spread[tokens],
            indptr,
            self.modality[entries],
            self.age[entries],
            tuple(each.take(rows) for each in self.vectors),
        )

    def keep(self, tokens: NDArray[np.bool_]) -> "PieceBags":
        """Keep a part of the token entries (T,) and all pieces."""
        return replace(
            self, token_piece=self.token_piece[tokens], token_spread=self.token_spread[tokens]
        )

    def hide(self, pieces: NDArray[np.bool_]) -> "PieceBags":
        """Remove the vectors of some pieces (Q,)."""
        return replace(
            self,
            vectors=tuple(
                each.keep(~pieces[flat_place(self.indptr, each.indptr, each.piece)])
                for each in self.vectors
            ),
        )

    def starts(self, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """Start of each piece's tokens (Q + 1,), from the start of each row's tokens (R + 1,)."""
        whose = flat_place(self.indptr, tokens, self.token_piece)
        return np.searchsorted(whose, np.arange(len(self.modality) + 1))

    def joined(self, sizes: NDArray[np.int64], tokens: NDArray[np.int64]) -> "PieceBags":
        """Join consecutive rows: the first `sizes[0]` rows become one, and so on.

        Args:
            sizes: int64 (G,), with sum R.
            tokens: int64 (R + 1,), start of each row's tokens.
        """
        ends = np.concatenate([[0], np.cumsum(sizes)])
        first = np.repeat(self.indptr[ends[:-1]], sizes)  # of the pieces of each row's group
        shift = (self.indptr[:-1] - first).astype(np.int32)  # (R,)
        return replace(
            self,
            token_piece=self.token_piece + np.repeat(shift, np.diff(tokens)),
            indptr=self.indptr[ends],
            vectors=tuple(
                replace(
                    each,
                    indptr=each.indptr[ends],
                    piece=each.piece + np.repeat(shift, np.diff(each.indptr)),
                )
                for each in self.vectors
            ),
        )


def taken(
    indptr: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """New row starts and entry numbers for selected rows of a compressed-row array."""
    lengths = np.diff(indptr)[rows]
    new = np.concatenate([[0], np.cumsum(lengths)])
    return new, np.arange(new[-1]) + np.repeat(indptr[rows] - new[:-1], lengths)


def flat_place(
    pieces: NDArray[np.int64], entries: NDArray[np.int64], place: NDArray[np.int32]
) -> NDArray[np.int64]:
    """Number of each entry's piece among all Q pieces.

    Args:
        pieces: start of each row's pieces (R + 1,).
        entries: start of each row's entries (R + 1,).
        place: place of each entry's piece in its row.
    """
    return np.repeat(pieces[:-1], np.diff(entries)) + place


class GrowingPieces:
    """Builds piece tables row by row."""

    def __init__(self, spaces: Sequence[Space]) -> None:
        self._token_piece, self._token_spread = array("i"), array("H")
        self._lengths, self._modality, self._age = array("q"), array("B"), array("B")
        self._vectors = [(array("q"), array("f"), array("i"), space.width) for space in spaces]

    def add(self, features: Features) -> None:
        """Append the piece table of a profile."""
        table = features.pieces
        assert table is not None
        self._token_piece.frombytes((table.token_piece - 1).astype(np.int32).tobytes())
        self._token_spread.frombytes(table.token_spread.astype(np.uint16).tobytes())
        self._lengths.append(len(table.modality))
        self._modality.frombytes(table.modality.astype(np.uint8).tobytes())
        self._age.frombytes(table.age.astype(np.uint8).tobytes())
        for (lengths, values, piece, _), vectors, places in zip(
            self._vectors, features.vectors, table.vectors_piece, strict=True
        ):
            lengths.append(len(vectors))
            values.frombytes(directions(vectors).astype(np.float32).tobytes())
            piece.frombytes((places - 1).astype(np.int32).tobytes())

    def bags(self) -> PieceBags:
        """Pieces of all rows so far; they share memory with this object."""
        return PieceBags(
            np.frombuffer(self._token_piece, np.int32),
            np.frombuffer(self._token_spread, np.uint16),
            _indptr(self._lengths),
            np.frombuffer(self._modality, np.uint8),
            np.frombuffer(self._age, np.uint8),
            tuple(
                VectorBags(
                    _indptr(lengths),
                    np.frombuffer(values, np.float32).reshape(-1, width),
                    np.frombuffer(piece, np.int32),
                )
                for lengths, values, piece, width in self._vectors
            ),
        )


def directions(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Normalise vectors (P, W) like `content_sketch.safe_normalise`, in float64."""
    scale = np.sqrt((vectors.astype(np.float64) ** 2).sum(1, keepdims=True) + 1e-6)
    return vectors / scale


def _indptr(lengths: "array[int]") -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.frombuffer(lengths, np.int64))])
