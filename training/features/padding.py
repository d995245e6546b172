"""Padding of pieces to batches for the fusion modules."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.features.pieces import PieceBags

_MOST_PADDED = 1 << 13
"""Most pieces of a block including padding: 8 MB of token sums."""


@dataclass(frozen=True, eq=False)
class PieceBatch:
    """Up to N pieces of B streamers.

    Attributes:
        tokens: token sum of each piece (B, N, H).
        vectors: per space, unit vectors (B, P, W) and their membership (B, N, P), 0 or 1.
        modality: 1 + place in `MODALITIES` (B, N), 0 = padding.
        age: age class (B, N).
    """

    tokens: Tensor
    vectors: Sequence[tuple[Tensor, Tensor]]
    modality: Tensor
    age: Tensor

    def of_vectors(self, gates: Tensor) -> list[Tensor]:
        """Gates of the pieces (B, N) mapped to the vectors of each space (B, 1, P)."""
        return [torch.matmul(gates.unsqueeze(1), whose) for _, whose in self.vectors]


def members(piece: Tensor, modality: Tensor) -> Tensor:
    """Membership matrix (B, N, L) of entries in pieces, 0 or 1.

    Args:
        piece: 1 + place of each entry's piece (B, L), 0 = padding.
        modality: (B, N).
    """
    axis = torch.arange(1, 1 + modality.shape[1], device=piece.device)
    return (piece.unsqueeze(1) == axis.unsqueeze(-1)).to(torch.float32)


def blocks_of_alike(sizes: NDArray[np.int64]) -> list[slice]:
    """Split rows of ascending sizes (R,) into blocks that need little padding."""
    found, first = [], 0
    for end in range(1, len(sizes)):
        if (end + 1 - first) * sizes[end] > _MOST_PADDED:
            found.append(slice(first, end))
            first = end
    return [*found, slice(first, len(sizes))]


def padded(
    tokens: Tensor, pieces: PieceBags, place: Callable[[NDArray[Any]], Tensor]
) -> PieceBatch:
    """Pad flat pieces to a batch.

    Args:
        tokens: token sum of each of the Q pieces (Q, H).
        pieces: piece tables of the rows.
        place: converts arrays to tensors on the device.
    """
    outer = _Padding(pieces.indptr)
    modality = place(outer.of(pieces.modality.astype(np.int64)))
    vectors: list[tuple[Tensor, Tensor]] = []
    for each in pieces.vectors:
        inner = _Padding(each.indptr)
        owner = place(inner.of(each.piece.astype(np.int64) + 1))
        vectors.append((place(inner.of(each.values)), members(owner, modality)))
    flat = tokens.new_zeros(outer.rows * outer.longest, tokens.shape[1])
    flat = flat.index_copy(0, place(outer.flat), tokens)
    return PieceBatch(
        flat.view(outer.rows, outer.longest, tokens.shape[1]),
        vectors,
        modality,
        place(outer.of(pieces.age.astype(np.int64))),
    )


class _Padding:
    """Index of flat entries in a matrix of R rows padded to the longest."""

    def __init__(self, indptr: NDArray[np.int64]) -> None:
        lengths = np.diff(indptr)
        self.rows, self.longest = len(lengths), max(1, int(lengths.max(initial=0)))
        first = np.arange(self.rows) * self.longest - indptr[:-1]
        self.flat = np.arange(indptr[-1]) + np.repeat(first, lengths)

    def of(self, values: NDArray[Any]) -> NDArray[Any]:
        """Pad values of all entries (Q, ...) with zeros (R, longest, ...)."""
        found = np.zeros((self.rows * self.longest, *values.shape[1:]), values.dtype)
        found[self.flat] = values
        return found.reshape(self.rows, self.longest, *values.shape[1:])
