"""Which pictures of two streamers are copies of each other, by their outlines."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_export.contract.media import (
    COPY_BITS,
    OUTLINE_SIDE,
    Hashes,
    bits_apart,
    bits_to_parts,
    hashes_of,
)
from service.retrieval.reader import Outline
from service.vectors import OUTLINE, as_outline, unpack

SHARED_PICTURES = 2
"""So many copies, or more, make two streamers near-duplicates, whatever else they show.

In a simulated world of 2,000, 77 pairs of accounts of one person share so many pictures: .987 of
them have two copies, and .987 of all pairs that have are such accounts.
"""
NEAREST_COMPARED = 10
"""By what pictures look like in the mean, or by embedding: those 77 are the nearest 5 by either."""
_BLOCK_ROWS = 1024


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
    return Pictures(list(first.values()), _hashes(first))


@dataclass(frozen=True, eq=False)
class Look:
    """What is stored of a streamer's pictures, those with the same outline once.

    Attributes:
        hashes: of each; none of those that say nothing tells anything.
        means: by the version of a tower, the mean of its unit vectors of them, (width,).
    """

    hashes: Hashes
    means: Mapping[bytes, NDArray[np.float32]]

    @property
    def may_share(self) -> bool:
        """Whether there are enough pictures to be compared."""
        return int(self.hashes.telling.sum()) >= SHARED_PICTURES


def look_in(tower_vectors: bytes) -> Look:
    """The pictures whose outlines are stored."""
    stored = unpack(tower_vectors).vectors
    outlines = {key: as_outline(v) for (what, key), v in stored.items() if what == OUTLINE}
    sums: dict[bytes, NDArray[np.float32]] = {}
    for (version, key), vector in stored.items():
        if version != OUTLINE and key in outlines and outlines[key].any():
            sums[version] = sums.get(version, 0) + _unit(vector.astype(np.float32))
    hashes = _hashes(dict.fromkeys(outline.tobytes() for outline in outlines.values()))
    return Look(hashes, {version: _unit(total) for version, total in sums.items()})


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return vector / max(float(np.linalg.norm(vector)), 1e-6)


def _hashes(outlines: Collection[bytes]) -> Hashes:
    shape = (len(outlines), OUTLINE_SIDE, OUTLINE_SIDE)
    return hashes_of(np.frombuffer(b"".join(outlines), np.uint8).reshape(shape))


def pairs(apart: NDArray[np.int64]) -> list[tuple[int, int]]:
    """The places of pictures that are copies of each other, each of either side once.

    In the order of the first side's; of several that are alike, the nearest is taken.

    Args:
        apart: (N, M), see `bits_apart`.
    """
    found: dict[int, int] = {}
    taken: set[int] = set()
    ours, theirs = np.nonzero(apart <= COPY_BITS)
    for i in np.argsort(apart[ours, theirs], kind="stable").tolist():
        one, other = int(ours[i]), int(theirs[i])
        if one not in found and other not in taken:
            found[one] = other
            taken.add(other)
    return sorted(found.items())


def copies(first: Pictures, second: Pictures) -> list[tuple[str, str]]:
    """The same by where they are shown."""
    found = pairs(bits_apart(first.hashes, second.hashes))
    return [(first.places[one], second.places[other]) for one, other in found]


@dataclass(frozen=True)
class SamePictures:
    """Two streamers of a list, by their places, and how many copies they share."""

    one: int
    other: int
    copies: int


def who_shares(looks: Sequence[Look]) -> list[SamePictures]:
    """The pairs of a list that share `SHARED_PICTURES` pictures or more.

    Compared is who shows that many with the `NEAREST_COMPARED` others that look most like it.
    """
    by_tower: dict[bytes, list[int]] = {}
    for place, look in enumerate(looks):
        for version in look.means if look.may_share else ():
            by_tower.setdefault(version, []).append(place)
    near = {
        (places[one], places[other])
        for version, places in by_tower.items()
        for one, other in _near_pairs(np.stack([looks[p].means[version] for p in places]))
    }
    shared = ((*pair, len(pairs(apart))) for pair, apart in _apart(looks, near))
    return sorted(
        (SamePictures(*found) for found in shared if found[2] >= SHARED_PICTURES),
        key=lambda same: (same.one, same.other),
    )


def _apart(
    looks: Sequence[Look], near: Collection[tuple[int, int]]
) -> Iterator[tuple[tuple[int, int], NDArray[np.int64]]]:
    """`bits_apart` of each pair, where the parts of each are unpacked once, for all its pairs."""
    neighbours: dict[int, list[int]] = {}
    for one, other in near:
        neighbours.setdefault(one, []).append(other)
        neighbours.setdefault(other, []).append(one)
    half: dict[tuple[int, int], NDArray[np.int64]] = {}
    for place, others in neighbours.items():
        several = [looks[other].hashes for other in others]
        found = bits_to_parts(Hashes.wholes_of(several), looks[place].hashes)
        ends = np.cumsum([len(hashes) for hashes in several])
        for other, apart in zip(others, np.split(found, ends[:-1]), strict=True):
            pair, sides = ((other, place), apart) if other < place else ((place, other), apart.T)
            if pair in half:
                yield pair, np.minimum(half.pop(pair), sides)
            else:
                half[pair] = sides


def count_copies(one: Look, others: Sequence[Look]) -> list[int]:
    """How many pictures a streamer shares with each of others, in copies."""
    looks = [one, *others]
    found = dict(_apart(looks, [(0, place) for place in range(1, len(looks))]))
    return [len(pairs(found[0, place])) for place in range(1, len(looks))]


def _near_pairs(vectors: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Pairs of rows (N, D), the lower first, of which one is among the other's nearest."""
    size, near = len(vectors), min(NEAREST_COMPARED, len(vectors) - 1)
    if near < 1:
        return []
    found: set[tuple[int, int]] = set()
    for start in range(0, size, _BLOCK_ROWS):
        cosines = vectors[start : start + _BLOCK_ROWS] @ vectors.T  # (<= block, N)
        rows = np.arange(len(cosines))
        cosines[rows, start + rows] = -np.inf
        nearest = np.argpartition(-cosines, near - 1, axis=1)[:, :near]
        for row, others in enumerate(nearest.tolist(), start):
            found.update((min(row, other), max(row, other)) for other in others)
    return sorted(found)
