"""What two streamers both show: labels, pictures, sounds and titles, and copies."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import cast

import numpy as np

from model_export.contract.features import SMALLEST_COMPONENT
from model_export.contract.pieces import Piece
from model_export.contract.text import canonical
from model_export.contract.uninformative import says_nothing

MAX_SAME = 3
"""So many of a kind are named: the newest of the seed's. More tell nobody more."""
_MEDIA = {"avatar": "pictures", "covers": "pictures", "frames": "pictures", "audio": "sounds"}

Contents = Mapping[str, Mapping[str, str]]
"""Per kind (`pictures`, `sounds`, `titles`): content hash -> where it is shown first."""


@dataclass(frozen=True)
class SameContent:
    """Content that two profiles share: its place in either, as `videos[0].cover` and `avatar`."""

    seed: str
    hit: str


Shared = Mapping[str, list[str] | list[SameContent]]


def contents_of(pieces: Iterable[Piece], uninformative: Set[str]) -> Contents:
    """The contents by which a copy can be told, in the order of the pieces.

    The same picture counts wherever it is shown, as an avatar, a cover or a frame. What is known to
    be `uninformative` (the vocabulary's hashes), and what shows nothing (a vector of zeros, a title
    without a word), is no evidence.
    """
    found: dict[str, dict[str, str]] = {"pictures": {}, "sounds": {}, "titles": {}}
    for piece in pieces:
        kind = _kind(piece)
        if kind is None or piece.content_hash in uninformative:
            continue
        if not says_nothing(piece, uninformative):
            found[kind].setdefault(piece.content_hash, piece.source)
    return found


def _kind(piece: Piece) -> str | None:
    """The kind of evidence that a piece is, None for none."""
    if piece.kind == "text" and piece.modality in ("videos", "lives"):
        return "titles" if canonical(piece.text) else None
    if piece.kind == "media" or (piece.kind == "vector" and _shows_something(piece)):
        return _MEDIA.get(piece.modality)
    return None


def _shows_something(piece: Piece) -> bool:
    return bool(np.abs(np.asarray(piece.vector, np.float32)).max() >= SMALLEST_COMPONENT)


def same_contents(seed: Contents, hit: Contents) -> dict[str, list[SameContent]]:
    """What both show, at most `MAX_SAME` of a kind; kinds with nothing in common are left out."""
    shared: dict[str, list[SameContent]] = {}
    for kind, places in seed.items():
        same = _same(places, hit[kind])
        if same:
            shared[kind] = same[:MAX_SAME]
    return shared


def similar(
    kind: str, seed: Contents, hit: Contents, found: Sequence[tuple[str, str]]
) -> dict[str, list[SameContent]]:
    """What is alike and not the very same, at most `MAX_SAME`; nothing for none.

    Args:
        kind: `pictures` or `sounds`.
        seed: what it shows.
        hit: likewise.
        found: places in either, see `pictures.copies` and `pictures.sound_copies`.
    """
    same = {(p.seed, p.hit) for p in _same(seed[kind], hit[kind])}
    alike = [SameContent(*places) for places in found if places not in same]
    return {f"similar_{kind}": alike[:MAX_SAME]} if alike else {}


def _same(seed: Mapping[str, str], hit: Mapping[str, str]) -> list[SameContent]:
    return [SameContent(where, hit[digest]) for digest, where in seed.items() if digest in hit]


def shared_facets(a: Mapping[str, object], b: Mapping[str, object]) -> dict[str, list[str]]:
    """What two streamers both show, by field; fields with nothing in common are left out."""
    shared: dict[str, list[str]] = {}
    for name in ("tags", "category", "language"):
        ours, theirs = a.get(name), b.get(name)
        if isinstance(ours, list) and isinstance(theirs, list):
            common = sorted(set(cast(list[str], ours)) & set(cast(list[str], theirs)))
            if common:
                shared[name] = common
        elif ours is not None and ours == theirs:
            shared[name] = [str(cast(object, ours))]
    return shared
