"""Which pieces of a seed and a hit mean the same, where the two share nothing else."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from model_export.contract.pieces import Piece
from service.engine.evidence.shared_content import SameContent
from service.engine.evidence.waterfall import short
from service.features.similar.contributions import Encoded, Part

_TEXTS = ("bio", "tags", "videos", "lives", "name", "category")
"""Modalities whose pieces can be quoted."""
_MOST_PIECES = 6
"""Of a modality that are encoded: the newest."""
_MOST_PAIRS = 2
_LEAST_SECOND = 0.8
"""Of the cosine of the nearest pair, which another pair has at least to be told too."""

Pieces = Mapping[str, Sequence[Piece]]
"""By modality, without boilerplate."""


def pieces_by_modality(pieces: Sequence[Piece]) -> Pieces:
    """Those that mean something; pictures and sounds do where a tower read them."""
    found: dict[str, list[Piece]] = {}
    for piece in pieces:
        if piece.kind in ("text", "tag", "category", "vector", "media"):
            found.setdefault(piece.modality, []).append(piece)
    return {modality: some[:_MOST_PIECES] for modality, some in found.items()}


def nearest_modalities(
    seed: Encoded | NDArray[np.float32], hit: Encoded, ours: Pieces, theirs: Pieces
) -> tuple[str, str] | None:
    """The modality of each side that means most nearly the same; None where nothing is encoded.

    Modalities with words come before all others. Of a seed that is a vector (D,), the name is "".
    """
    sides = list(_alone(hit, theirs))
    mine = [("", seed)] if isinstance(seed, np.ndarray) else list(_alone(seed, ours))
    pairs = [
        (name in ("", *_TEXTS) and other in _TEXTS, float(a @ b), name, other)
        for name, a in mine
        for other, b in sides
    ]
    if not pairs:
        return None
    return max(pairs)[2:]


def _alone(side: Encoded, pieces: Pieces) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for modality in pieces:
        vector = side.only(modality)
        if vector is not None:
            yield modality, vector


def parts_of_pieces(pieces: Sequence[Piece]) -> list[Part]:
    """The parts that are these pieces alone."""
    return [("piece", piece.source) for piece in pieces]


def same_topic(
    seed: Encoded | NDArray[np.float32],
    hit: Encoded,
    ours: Sequence[Piece],
    theirs: Sequence[Piece],
) -> list[SameContent]:
    """The nearest pieces of both sides, one pair or two.

    Args:
        seed: with its pieces encoded alone; or a vector (D,).
        hit: likewise.
        ours: pieces of the seed's nearest modality.
        theirs: pieces of the hit's.
    """
    nothing = Piece("", "text", "")
    mine = [(nothing, seed)] if isinstance(seed, np.ndarray) else list(_encoded(seed, ours))
    pairs = [
        SameContent(a.source, b.source, short(a.text), short(b.text), (), round(float(x @ y), 3))
        for a, x in mine
        for b, y in _encoded(hit, theirs)
    ]
    if not pairs:  # a tower's vectors are not kept by piece: the modality stands for its first one
        pairs = list(_of_modalities(seed, hit, ours, theirs))
    pairs.sort(key=lambda pair: -(pair.similarity or 0))
    best, told = (pairs[0].similarity or 0) if pairs else 0.0, list[SameContent]()
    for pair in pairs:
        is_new = all(pair.hit != t.hit and (pair.seed != t.seed or not t.seed) for t in told)
        if not told or (is_new and (pair.similarity or 0) >= _LEAST_SECOND * best):
            told.append(pair)
    return told[:_MOST_PAIRS]


def _encoded(side: Encoded, pieces: Sequence[Piece]) -> Iterator[tuple[Piece, NDArray[np.float32]]]:
    for piece in pieces:
        alone: Part = ("piece", piece.source)
        vector = side.only(piece.modality) if len(pieces) == 1 else side.parts.get(alone)
        if vector is not None:
            yield piece, vector


def _of_modalities(
    seed: Encoded | NDArray[np.float32],
    hit: Encoded,
    ours: Sequence[Piece],
    theirs: Sequence[Piece],
) -> Iterator[SameContent]:
    mine = seed if isinstance(seed, np.ndarray) else seed.only(ours[0].modality) if ours else None
    other = hit.only(theirs[0].modality) if theirs else None
    if mine is not None and other is not None:
        a, b = (ours[0] if ours else Piece("", "text", "")), theirs[0]
        cosine = round(float(mine @ other), 3)
        yield SameContent(a.source, b.source, short(a.text), short(b.text), (), cosine)
