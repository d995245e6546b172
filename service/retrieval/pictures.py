"""Which pictures of two streamers are copies of each other, by their outlines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from model_export.contract.media import COPY_BITS, OUTLINE_SIDE, Hashes, bits_apart, hashes_of
from service.retrieval.reader import Outline


@dataclass(frozen=True, eq=False)
class Pictures:
    """The pictures of a streamer, those with the same outline once.

    Attributes:
        places: where each is shown first, as `videos[0].cover`.
        hashes: of each.
    """

    places: Sequence[str]
    hashes: Hashes


def pictures_of(outlines: Mapping[str, Outline]) -> Pictures:
    """The pictures with these outlines, by their places."""
    first: dict[bytes, str] = {}
    for place, outline in outlines.items():
        first.setdefault(outline.tobytes(), place)
    shape = (len(first), OUTLINE_SIDE, OUTLINE_SIDE)
    stacked = np.frombuffer(b"".join(first), np.uint8).reshape(shape)
    return Pictures(list(first.values()), hashes_of(stacked))


def copies(first: Pictures, second: Pictures) -> list[tuple[str, str]]:
    """The places of pictures that are copies of each other, each of either side once.

    In the order of the first side's; of several that are alike, the nearest is taken.
    """
    if not first.places or not second.places:
        return []
    apart = bits_apart(first.hashes, second.hashes)  # (N, M)
    found: dict[int, int] = {}
    taken: set[int] = set()
    ours, theirs = np.nonzero(apart <= COPY_BITS)
    for i in np.argsort(apart[ours, theirs], kind="stable").tolist():
        one, other = int(ours[i]), int(theirs[i])
        if one not in found and other not in taken:
            found[one] = other
            taken.add(other)
    return [(first.places[one], second.places[found[one]]) for one in sorted(found)]
