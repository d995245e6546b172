"""Pieces that mean nothing: one rule, for what is learned from and for what is served.

A text or a vector says nothing about a streamer if so many show the same or nearly the same
(`Piece.cluster_hash`) that the vocabulary names it, or if it is empty talk. Names are exempt:
common first names are shared by chance. So are tags, categories and languages, which are there to
be shared.
"""

from collections.abc import Set

from model_export.contract.pieces import Piece
from model_export.contract.text import is_empty_talk


def may_say_nothing(piece: Piece) -> bool:
    """Whether the rule is for pieces like this one."""
    return piece.kind in ("text", "vector") and piece.modality != "name"


def says_nothing(piece: Piece, shared: Set[str]) -> bool:
    """Whether a piece counts for nothing.

    Args:
        piece: of a profile, or what a tower made of one.
        shared: `Vocabulary.uninformative`. Bundles of earlier releases have content hashes there.
    """
    if not may_say_nothing(piece):
        return False
    if piece.kind == "text" and is_empty_talk(piece.text):
        return True
    return bool(shared) and (piece.cluster_hash in shared or piece.content_hash in shared)
