"""Piece table: the owning piece of each token and vector, and the age class of each piece.

Encoders that weigh or fuse pieces one by one read it; other encoders do not. A video or live counts
as one piece per modality (texts, cover, sound), and each tag is a piece. Ages are relative to the
newest item of the profile and binned into classes. No clock is read, so a profile has the same
features on any day.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model_export.contract.pieces import Piece

AGE_BOUNDS_DAYS = (7, 30, 90, 365)
"""Upper bounds of the age classes: 1 = up to 7 days, ..., 5 = over a year, 0 = undated."""
AGES = 2 + len(AGE_BOUNDS_DAYS)
_DAY_S = 86400.0
_MODALITY_BITS = 4
MODALITY_MASK = (1 << _MODALITY_BITS) - 1
"""`group & MODALITY_MASK` is 1 + place in `MODALITIES`, with and without a piece table."""


@dataclass(frozen=True, eq=False)
class PieceTable:
    """Pieces of one profile with content, N of them, and the tokens and vectors they own.

    Attributes:
        token_piece: int64 (L,), 1 + place of the piece that owns the token.
        token_spread: int64 (L,), number of pieces of that modality with the token.
        vectors_piece: per space, int64 (P,), 1 + place of the owning piece.
        modality: int64 (N,), 1 + place in `MODALITIES`.
        age: int64 (N,), age class.
    """

    token_piece: NDArray[np.int64]
    token_spread: NDArray[np.int64]
    vectors_piece: tuple[NDArray[np.int64], ...]
    modality: NDArray[np.int64]
    age: NDArray[np.int64]

    def keep(self, tokens: NDArray[np.bool_], vectors: Sequence[NDArray[np.bool_]]) -> "PieceTable":
        """Keep a part of the tokens (L,) and vectors, per space (P,), and all pieces."""
        return replace(
            self,
            token_piece=self.token_piece[tokens],
            token_spread=self.token_spread[tokens],
            vectors_piece=tuple(
                places[kept] for places, kept in zip(self.vectors_piece, vectors, strict=True)
            ),
        )


def newest(pieces: Iterable[Piece]) -> float:
    """Time of the newest piece, seconds since 1970; 0 if no piece has a date."""
    return max((p.time_s for p in pieces if p.time_s is not None), default=0.0)


class PieceTableBuilder:
    """Builds the piece table of one profile; every piece with content gets a group number."""

    def __init__(self, newest_s: float) -> None:
        """Count ages back from `newest_s`, seconds since 1970."""
        self._newest_s = newest_s
        self._groups: dict[tuple[str, int], int] = {}
        self._ages: list[int] = []

    def group(self, piece: Piece, modality: int) -> int:
        """Group number of a piece; equal for pieces of one item and modality."""
        key = piece.source.partition(".")[0], modality
        group = self._groups.get(key)
        if group is None:
            group = (1 + len(self._ages)) << _MODALITY_BITS | modality
            self._groups[key] = group
            self._ages.append(self._age(piece.time_s))
        return group

    def table(
        self, keys: Sequence[tuple[int, int]], vectors: Sequence[Sequence[int]]
    ) -> PieceTable:
        """Build the table.

        Args:
            keys: (group, token id) of L tokens.
            vectors: per space, the groups of P vectors.
        """
        spread = Counter((group & MODALITY_MASK, token_id) for group, token_id in keys)
        groups = self._groups.values()
        return PieceTable(
            token_piece=_places([group for group, _ in keys]),
            token_spread=np.array([spread[g & MODALITY_MASK, t] for g, t in keys], np.int64),
            vectors_piece=tuple(_places(each) for each in vectors),
            modality=np.array([group & MODALITY_MASK for group in groups], np.int64),
            age=np.array(self._ages, np.int64),
        )

    def _age(self, time_s: float | None) -> int:
        if time_s is None:
            return 0
        older_s = self._newest_s - time_s
        return 1 + sum(older_s > days * _DAY_S for days in AGE_BOUNDS_DAYS)


def _places(groups: Sequence[int]) -> NDArray[np.int64]:
    return np.array([group >> _MODALITY_BITS for group in groups], np.int64)
