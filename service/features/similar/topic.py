"""Which pieces of a seed and a hit mean the same, where the two share nothing else."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from model_export.contract.pieces import Piece
from service.engine.evidence.shared_content import SameContent
from service.engine.evidence.waterfall import short
from service.features.similar.contributions import Encoded, Part

_QUOTED = frozenset({"", "bio", "tags", "videos", "lives", "name", "category"})
"""Modalities whose pieces can be quoted; "" is that of a bare vector."""
_MOST_PIECES = 6
"""Of a modality that are encoded: the newest."""
_LEAST_SECOND = 0.8
"""Of the cosine of the nearest pair, which another pair has at least to be told too."""

Meaning = Encoded | NDArray[np.float32]
"""A profile with parts of it encoded, or a bare vector (D,)."""

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
    seed: Meaning, hit: Meaning, ours: Pieces, theirs: Pieces
) -> tuple[str, str] | None:
    """The modality of each side that means most nearly the same; None where nothing is encoded.

    Modalities with words come before all others. That of a bare vector is "".
    """
    others = list(_alone(hit, theirs))
    pairs = [
        (name in _QUOTED and other in _QUOTED, float(a @ b), name, other)
        for name, a in _alone(seed, ours)
        for other, b in others
    ]
    return max(pairs)[2:] if pairs else None


def _alone(side: Meaning, pieces: Pieces) -> Iterator[tuple[str, NDArray[np.float32]]]:
    if isinstance(side, np.ndarray):
        yield "", side
        return
    for modality in pieces:
        vector = side.only(modality)
        if vector is not None:
            yield modality, vector


def parts_of_pieces(pieces: Sequence[Piece]) -> list[Part]:
    """The parts that are these pieces alone."""
    return [("piece", piece.source) for piece in pieces]


def same_topic(
    seed: Meaning, hit: Meaning, ours: Sequence[Piece], theirs: Sequence[Piece]
) -> list[SameContent]:
    """The nearest pieces of both sides, one pair or two.

    Args:
        seed: with its pieces encoded alone, or a bare vector.
        hit: likewise.
        ours: pieces of the seed's nearest modality.
        theirs: pieces of the hit's.
    """
    others = list(_encoded(hit, theirs))
    pairs = [
        SameContent(a.source, b.source, short(a.text), short(b.text), (), round(float(x @ y), 3))
        for a, x in _encoded(seed, ours)
        for b, y in others
    ]
    pairs.sort(key=lambda pair: -(pair.similarity or 0))
    told: list[SameContent] = []
    for pair in pairs[:1]:
        told.append(pair)
        least = _LEAST_SECOND * (pair.similarity or 0)
        for other in pairs[1:]:
            is_new = other.hit != pair.hit and (other.seed != pair.seed or not other.seed)
            if is_new and (other.similarity or 0) >= least:
                told.append(other)
                break
    return told


def _encoded(side: Meaning, pieces: Sequence[Piece]) -> Iterator[tuple[Piece, NDArray[np.float32]]]:
    """Pieces that have a vector alone."""
    if isinstance(side, np.ndarray):
        yield Piece("", "text", ""), side
        return
    is_any = False
    for piece in pieces if len(pieces) > 1 else ():
        vector = side.parts.get(("piece", piece.source))
        if vector is not None:
            is_any = True
            yield piece, vector
    # A single piece is its modality; what towers made is not kept by piece, and its modality
    # stands for the first one.
    whole = side.only(pieces[0].modality) if pieces else None
    if not is_any and whole is not None:
        yield pieces[0], whole
