"""Pieces told apart: which token and which vector belongs to which piece, and how old each is.

For encoders that weigh or fuse a streamer's pieces one by one; others read no such arrays. A video
or live shows a piece of each modality (its texts, its cover, its sound), a tag is a piece of its
own. Ages are relative to the newest thing that the profile shows, in whole classes: no clock is
read, so that the same profile has the same features on any day.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model_export.contract.pieces import Piece

AGE_BOUNDS_DAYS = (7, 30, 90, 365)
"""Class 1 is at most 7 days older than the newest, class 5 more than a year; 0 has no date."""
AGES = 2 + len(AGE_BOUNDS_DAYS)
_DAY_S = 86400.0
_MODALITY_BITS = 4
MODALITY_MASK = (1 << _MODALITY_BITS) - 1
"""`group & MODALITY_MASK` is 1 + place in `MODALITIES`, also of a modality that is a group."""


@dataclass(frozen=True, eq=False)
class PieceTable:
    """The N pieces of one profile that show anything, and what belongs to them.

    Attributes:
        token_piece: int64 (L,), 1 + place of the piece that shows the token.
        token_spread: int64 (L,), how many pieces of its modality show the token.
        vectors_piece: per space, int64 (P,), 1 + place of the piece.
        modality: int64 (N,), 1 + place in `MODALITIES`.
        age: int64 (N,), the class of its age.
    """

    token_piece: NDArray[np.int64]
    token_spread: NDArray[np.int64]
    vectors_piece: tuple[NDArray[np.int64], ...]
    modality: NDArray[np.int64]
    age: NDArray[np.int64]

    def keep(self, tokens: NDArray[np.bool_], vectors: Sequence[NDArray[np.bool_]]) -> "PieceTable":
        """The same pieces with a part of their tokens (L,) and vectors, per space (P,)."""
        return replace(
            self,
            token_piece=self.token_piece[tokens],
            token_spread=self.token_spread[tokens],
            vectors_piece=tuple(
                places[kept] for places, kept in zip(self.vectors_piece, vectors, strict=True)
            ),
        )


def newest(pieces: Iterable[Piece]) -> float:
    """When the newest piece was shown, seconds since 1970; 0 where none has a date."""
    return max((p.time_s for p in pieces if p.time_s is not None), default=0.0)


class Apart:
    """Gives each piece of one profile that shows anything a group of its own."""

    def __init__(self, newest_s: float) -> None:
        """Ages are counted from `newest_s`, seconds since 1970."""
        self._newest_s = newest_s
        self._groups: dict[tuple[str, int], int] = {}
        self._ages: list[int] = []

    def group(self, piece: Piece, modality: int) -> int:
        """The group of a piece; equal for what one item shows of one modality."""
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
        """What belongs to which piece.

        Args:
            keys: (group, token id) of the L tokens.
            vectors: per space, the groups of the P vectors.
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
