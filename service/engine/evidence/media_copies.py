"""Which pictures and sounds of two streamers are copies: by their thumbnails and fingerprints."""

from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_export.contract.media import (
    COPY_AGREEMENT,
    COPY_BITS,
    FINGERPRINT_BANDS,
    FINGERPRINT_MOMENTS,
    THUMBNAIL_SIDE,
    Fingerprints,
    ThumbnailHashes,
    agreement,
    bits_apart,
    bits_to_parts,
    fingerprints_of,
    hashes_of,
)
from service.engine.encoding.profile_reader import Thumbnail
from service.engine.encoding.tower_vectors import (
    FINGERPRINT,
    THUMBNAIL,
    as_fingerprint,
    as_thumbnail,
    unpack,
)
from service.engine.work.lanes import run_to_end

SHARED_COPIES = 2
"""So many copies, or more, make two streamers near-duplicates, whatever else they show.

In a simulated world of 2,000, 77 pairs of accounts of one person share so many pictures: .987 of
them have two copies, and .987 of all pairs that have are such accounts.
"""
NEAREST_COMPARED = 10
"""By what pictures look like in the mean, or by embedding: those 77 are the nearest 5 by either."""
_MOST_SOUNDS = 16
"""Of each streamer in a list; a fingerprint that is ready to be compared takes 6 KB."""
_BLOCK_ROWS = 128
_WHOLE_ROWS = 1200


@dataclass(frozen=True, eq=False)
class Pictures:
    """The pictures of a streamer, those with the same thumbnail once.

    Attributes:
        places: where each is shown first, as `videos[0].cover`.
        hashes: of each.
    """

    places: Sequence[str]
    hashes: ThumbnailHashes


def pictures_of(thumbnails: Mapping[str, Thumbnail]) -> Pictures:
    """The pictures with these thumbnails, by their places."""
    first = _first_places(thumbnails)
    return Pictures(list(first.values()), _hashes(first))


def _first_places(shown: Mapping[str, Thumbnail]) -> dict[bytes, str]:
    """Where each different thumbnail or print is shown first."""
    first: dict[bytes, str] = {}
    for place, levels in shown.items():
        first.setdefault(levels.tobytes(), place)
    return first


@dataclass(frozen=True, eq=False)
class Look:
    """What is stored of a streamer's pictures and sounds, those with the same thumbnail once.

    Attributes:
        hashes: of each picture; none of those that say nothing tells anything.
        fingerprints: of each sound; none of those that say nothing tells anything.
        means: by the version of a tower, the mean of its unit vectors of them, (width,).
    """

    hashes: ThumbnailHashes
    fingerprints: Fingerprints
    means: Mapping[bytes, NDArray[np.float32]]

    @property
    def may_share(self) -> bool:
        """Whether there are enough pictures and sounds to be compared."""
        return int(self.hashes.telling.sum() + self.fingerprints.telling.sum()) >= SHARED_COPIES


def look_in(tower_vectors: bytes) -> Look:
    """The pictures whose thumbnails are stored, and the sounds whose fingerprints are."""
    stored = unpack(tower_vectors).vectors
    thumbnails = {key: as_thumbnail(v) for (what, key), v in stored.items() if what == THUMBNAIL}
    heard = {key: as_fingerprint(v) for (what, key), v in stored.items() if what == FINGERPRINT}
    known = {key for key, levels in (thumbnails | heard).items() if levels.any()}
    sums: dict[bytes, NDArray[np.float32]] = {}
    for (version, key), vector in stored.items():
        if version not in (THUMBNAIL, FINGERPRINT) and key in known:
            sums[version] = sums.get(version, 0) + _unit(vector.astype(np.float32))
    hashes = _hashes(dict.fromkeys(thumbnail.tobytes() for thumbnail in thumbnails.values()))
    said = dict.fromkeys(levels.tobytes() for levels in heard.values() if levels.any())
    fingerprints = _fingerprints(list(said)[:_MOST_SOUNDS])
    return Look(hashes, fingerprints, {version: _unit(total) for version, total in sums.items()})


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return vector / max(float(np.linalg.norm(vector)), 1e-6)


def _hashes(thumbnails: Collection[bytes]) -> ThumbnailHashes:
    shape = (len(thumbnails), THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    return hashes_of(np.frombuffer(b"".join(thumbnails), np.uint8).reshape(shape))


def _fingerprints(levels: Collection[bytes]) -> Fingerprints:
    shape = (len(levels), FINGERPRINT_MOMENTS, FINGERPRINT_BANDS)
    return fingerprints_of(np.frombuffer(b"".join(levels), np.uint8).reshape(shape))


def pairs(apart: NDArray[Any], most: float = COPY_BITS) -> list[tuple[int, int]]:
    """The places of pictures or sounds that are copies of each other, each of either side once.

    In the order of the first side's; of several that are alike, the nearest is taken.

    Args:
        apart: (N, M), how far, as `bits_apart`.
        most: how far copies are at most.
    """
    found: dict[int, int] = {}
    taken: set[int] = set()
    ours, theirs = np.nonzero(apart <= most)
    for i in np.argsort(apart[ours, theirs], kind="stable").tolist():
        one, other = int(ours[i]), int(theirs[i])
        if one not in found and other not in taken:
            found[one] = other
            taken.add(other)
    return sorted(found.items())


def copies(first: Pictures, second: Pictures) -> list[tuple[str, str]]:
    """Pairs of copied pictures of two streamers, by where each is shown."""
    found = pairs(bits_apart(first.hashes, second.hashes))
    return [(first.places[one], second.places[other]) for one, other in found]


@dataclass(frozen=True, eq=False)
class Sounds:
    """The sounds of a streamer, as `Pictures`."""

    places: Sequence[str]
    fingerprints: Fingerprints


def sounds_of(heard: Mapping[str, Thumbnail]) -> Sounds:
    """The sounds with these fingerprints, by their places."""
    first = _first_places(heard)
    return Sounds(list(first.values()), _fingerprints(first))


def sound_copies(first: Sounds, second: Sounds) -> list[tuple[str, str]]:
    """Pairs of copied sounds of two streamers, by where each is shown."""
    ours = agreement(first.fingerprints, second.fingerprints)
    alike = np.maximum(ours, agreement(second.fingerprints, first.fingerprints).T)
    found = pairs(1 - alike, 1 - COPY_AGREEMENT)
    return [(first.places[one], second.places[other]) for one, other in found]


@dataclass(frozen=True)
class SameMedia:
    """Two streamers of a list, by their places, and how many copies they share."""

    one: int
    other: int
    copies: int


def who_shares(looks: Sequence[Look]) -> Generator[None, None, list[SameMedia]]:
    """The pairs of a list that share `SHARED_COPIES` pictures and sounds or more.

    Compared is who shows that many with the `NEAREST_COMPARED` others that look, and those that
    sound, most like it. A generator that pauses every few milliseconds and returns them in the end.
    """
    by_tower: dict[bytes, list[int]] = {}
    for place, look in enumerate(looks):
        for version in look.means if look.may_share else ():
            by_tower.setdefault(version, []).append(place)
    near: set[tuple[int, int]] = set()
    for version, places in by_tower.items():
        pairs_near = yield from near_pairs(np.stack([looks[p].means[version] for p in places]))
        here = np.array(places, np.int64)[pairs_near]
        near.update((one, other) for one, other in here.tolist())
    counts = yield from _copies(looks, near)
    shared = sorted(counts.items())
    return [SameMedia(*pair, count) for pair, count in shared if count >= SHARED_COPIES]


def _copies(
    looks: Sequence[Look], near: Collection[tuple[int, int]]
) -> Generator[None, None, dict[tuple[int, int], int]]:
    """How many pictures and sounds each pair shares, in copies."""

    def seen(others: Sequence[int], place: int) -> NDArray[Any]:
        several = [looks[other].hashes for other in others]
        return bits_to_parts(ThumbnailHashes.wholes_of(several), looks[place].hashes)

    def heard(others: Sequence[int], place: int) -> NDArray[Any]:
        several = Fingerprints.all_of([looks[other].fingerprints for other in others])
        return 1 - agreement(several, looks[place].fingerprints)

    pictures, sounds = (
        [len(look.hashes) for look in looks],
        [len(look.fingerprints) for look in looks],
    )
    found: dict[tuple[int, int], int] = {}
    for pair, apart in _apart(near, pictures, seen):
        found[pair] = len(pairs(apart))
        yield
    for (one, other), apart in _apart(near, sounds, heard):
        fewer = min(int(looks[place].fingerprints.telling.sum()) for place in (one, other))
        found[one, other] += _counted(len(pairs(apart, 1 - COPY_AGREEMENT)), fewer)
        yield
    return found


def _counted(shared: int, fewer: int) -> int:
    """For how many copies sounds count, of so many shared ones and all of who shows fewer.

    Two who play the same songs are not one person: where most are other sounds, it is one copy.
    """
    return shared if 2 * shared >= fewer else min(shared, 1)


def _apart(
    near: Collection[tuple[int, int]],
    sizes: Sequence[int],
    laid: Callable[[Sequence[int], int], NDArray[Any]],
) -> Iterator[tuple[tuple[int, int], NDArray[Any]]]:
    """How far apart what the sides of each pair show is, with either side's parts tried.

    Args:
        near: pairs of places, the lower first.
        sizes: how much is shown at each place.
        laid: how far all that some others show is from the parts of what one place shows: (of all
            these others, of this one). The parts are made once, for all pairs of a place.
    """
    neighbours: dict[int, list[int]] = {}
    for one, other in near:
        neighbours.setdefault(one, []).append(other)
        neighbours.setdefault(other, []).append(one)
    half: dict[tuple[int, int], NDArray[Any]] = {}
    for place, others in neighbours.items():
        found = laid(others, place)
        ends = np.cumsum([sizes[other] for other in others])
        for other, apart in zip(others, np.split(found, ends[:-1]), strict=True):
            pair, sides = ((other, place), apart) if other < place else ((place, other), apart.T)
            if pair in half:
                yield pair, np.minimum(half.pop(pair), sides)
            else:
                half[pair] = sides


def count_copies(one: Look, others: Sequence[Look]) -> list[int]:
    """How many pictures and sounds a streamer shares with each of others, in copies."""
    looks = [one, *others]
    places = range(1, len(looks))
    found = run_to_end(_copies(looks, [(0, place) for place in places]))
    return [found[0, place] for place in places]


def near_pairs(
    vectors: NDArray[np.float32], count: int = NEAREST_COMPARED
) -> Generator[None, None, NDArray[np.int64]]:
    """Pairs of rows (N, D), the lower first, of which one is among the other's nearest `count`.

    A generator that pauses after each block of rows and returns the pairs, ascending, (P, 2).
    """
    size, near = len(vectors), min(count, len(vectors) - 1)
    codes = [np.zeros(0, np.int64)]
    # Of a matrix and itself the product is half the work. That of a long list has no room.
    whole = vectors @ vectors.T if size <= _WHOLE_ROWS else None  # (N, N)
    for start in range(0, size if near > 0 else 0, _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        cosines = vectors[block] @ vectors.T if whole is None else whole[block]  # (<= block, N)
        places = np.arange(len(cosines))
        cosines[places, start + places] = -np.inf
        nearest = np.empty((len(cosines), near), np.int64)
        for rank in range(near):  # for so few, a quarter of the time of `np.argpartition`
            nearest[:, rank] = cosines.argmax(axis=1)
            cosines[places, nearest[:, rank]] = -np.inf
        rows = start + places[:, None]
        found = np.minimum(rows, nearest) * size + np.maximum(rows, nearest)
        codes.append(found.reshape(-1))
        yield
    found = np.sort(np.concatenate(codes))  # faster than `np.unique`, which hashes
    distinct = found[np.flatnonzero(np.diff(found, prepend=-1))]
    return np.stack(np.divmod(distinct, max(size, 1)), axis=1)
