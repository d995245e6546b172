"""Uninformative pieces: one rule for training and serving.

A text or vector is uninformative if the vocabulary lists its near-duplicate cluster
(`Piece.cluster_hash`) because many streamers share it, or if the text is meaningless. Names are
exempt, since common names are shared by chance; so are tags, categories and languages, which are
meant to be shared.
"""

from collections.abc import Set

from model_export.contract.pieces import Piece
from model_export.contract.text import is_empty_talk


def may_say_nothing(piece: Piece) -> bool:
    """Whether the rule applies to a piece of this kind."""
    return piece.kind in ("text", "vector") and piece.modality != "name"


def says_nothing(piece: Piece, shared: Set[str]) -> bool:
    """Whether a piece is uninformative and ignored.

    Args:
        piece: of a profile, or a tower's vector piece.
        shared: `Vocabulary.uninformative`; bundles of earlier releases hold content hashes there.
    """
    if not may_say_nothing(piece):
        return False
    if piece.kind == "text" and is_empty_talk(piece.text):
        return True
    return is_listed(piece, shared)


def is_listed(piece: Piece, shared: Set[str]) -> bool:
    """Whether a piece to which the rule applies is among those that many share."""
    return bool(shared) and (piece.cluster_hash in shared or piece.content_hash in shared)
