"""Selection of the pieces that a tower reads, and vector pieces from its output."""

import base64
import hashlib
import re
from array import array
from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_export.contract.pieces import Piece
from model_export.contract.streamer import Media, StreamerContent
from model_export.contract.towers.inputs import Payload
from model_export.contract.towers.spec import TowerSpec
from model_export.contract.uninformative import says_nothing

_PART = re.compile(r"(\w+)(?:\[(\d+)\])?")


def pieces_for(spec: TowerSpec, pieces: Iterable[Piece]) -> list[Piece]:
    """Pieces that a tower reads, in order, at most its `max_pieces`.

    Media given by URL are skipped, since their bytes are unknown, and so are meaningless texts.
    """
    modalities = frozenset(spec.modalities)
    found = (piece for piece in pieces if piece.modality in modalities and _reads(spec, piece))
    return list(islice(found, spec.max_pieces))


def _reads(spec: TowerSpec, piece: Piece) -> bool:
    if spec.text is None:
        return piece.kind == "media" and piece.payload_digest.startswith("data:")
    is_read = piece.kind in spec.text.kinds and bool(piece.readable)
    return is_read and not says_nothing(piece, frozenset())


def payload_key(piece: Piece) -> bytes:
    """Cache key, 16 bytes, equal for pieces that get the same vector."""
    shown = piece.payload_digest if piece.kind == "media" else piece.readable
    return hashlib.blake2b(shown.encode(), digest_size=16).digest()


def payload_of(piece: Piece, profile: StreamerContent) -> Payload:
    """Payload of a piece of this profile."""
    if piece.kind != "media":
        return Payload(piece.source, text=piece.readable)
    media = media_at(profile, piece.source)
    if media.data is None or media.content_type is None:
        raise ValueError(f"{piece.source} has no bytes: pieces_for leaves it out")
    return Payload(piece.source, data=base64.b64decode(media.data), content_type=media.content_type)


def media_at(profile: StreamerContent, source: str) -> Media:
    """Media of a profile at a source path such as `videos[0].cover`."""
    found: Any = profile
    for part in source.split("."):
        match = _PART.fullmatch(part)
        assert match is not None
        found = getattr(found, match[1])
        if match[2] is not None:
            found = found[int(match[2])]
    assert isinstance(found, Media)
    return found


def vector_piece(spec: TowerSpec, piece: Piece, vector: NDArray[np.floating[Any]]) -> Piece:
    """Vector piece of a tower's output (width,) for a piece, rounded to float16."""
    rounded = array("f", vector.astype(np.float16).astype(np.float32).tobytes())
    return Piece(
        piece.modality,
        "vector",
        piece.source,
        vector=rounded,
        space=spec.name,
        payload_digest=piece.content_hash,
        payload_cluster=piece.cluster_hash,
        time_s=piece.time_s,
    )
