"""What the evidence reads of a profile, as a digest: facts to filter by and dates are not in it."""

import hashlib

from model_export.contract.pieces import Piece, pieces_of
from model_export.contract.streamer import StreamerContent

_DIGITS = 32


def content_of(profile: StreamerContent) -> str:
    """Digest of the distinct texts, labels, pictures and sounds of a profile, whatever their order.

    It depends on no model, and not on whether the bytes of a picture are kept.
    """
    shown = sorted(
        {f"{each.modality}\0{each.kind}\0{_payload(each)}" for each in pieces_of(profile)}
    )
    return hashlib.sha256("\1".join(shown).encode()).hexdigest()[:_DIGITS]


def _payload(piece: Piece) -> str:
    if piece.kind == "vector":
        return piece.content_hash
    if piece.kind == "media":
        return piece.payload_digest.split(":")[-1]  # of bytes, whether they are kept or not
    return piece.text
