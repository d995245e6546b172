"""The best of a collection and its overlay, and whether deeper hits could change it."""

from collections.abc import Sequence, Set
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.index.filters import Unknown
from service.index.milvus.collection import MOST_HITS, Found
from service.index.milvus.overlay import Overlay
from service.index.query import Query

MOST_BYTES, _BYTES_OF_HIT = 128 << 20, 512
"""Of the hits of one question, and of one hit without its vector, about, as Python has it."""


class Probes(NamedTuple):
    """What Milvus is asked for a query.

    Attributes:
        vectors: float32 (P, D).
        are_wanted: bool (P,); hits of the others are those that are farthest from a seed.
        is_mixed: whether scores need all products of a hit, and so its vector.
    """

    vectors: NDArray[np.float32]
    are_wanted: NDArray[np.bool_]
    is_mixed: bool


class Base(NamedTuple):
    """Hits of the collection.

    Attributes:
        scores: of those that may be in the answer, by id.
        bound: whoever is not among the hits scores this at most.
    """

    scores: dict[str, float]
    bound: float


def probes_of(query: Query) -> Probes:
    """What Milvus is asked: one vector where the score is linear, otherwise each seed.

    Of an unwanted seed the farthest are asked for: a streamer that is nearer to it than to any
    wanted one scores best when it is far from all unwanted ones.
    """
    vectors = np.ascontiguousarray(query.scoring.probes(), np.float32)  # (P, D)
    if len(vectors) == 1:
        return Probes(vectors, np.ones(1, np.bool_), False)
    are_wanted = np.array(query.scoring.weights) > 0
    signs = np.where(are_wanted, 1, -1).astype(np.float32)[:, None]
    return Probes(vectors * signs, are_wanted, not bool(are_wanted.all()))


class Part(NamedTuple):
    """An answer to a query at some depth.

    Attributes:
        ids: best first, equal ones by their ids (N,); none while it is not complete.
        scores: float32 (N,).
        reached: how many may be answered with, or reach the query's score.
        unknown: what of its filter no streamer has.
        dropped: versions of hits that no deeper answer has: they were replaced or deleted, or the
            query lets them not through.
        replaced: those of them that were replaced or deleted, which Milvus deletes before long.
        is_complete: whether a deeper one is the same.
        is_short: whether Milvus has no more, though there are more streamers.
    """

    ids: Sequence[str]
    scores: NDArray[np.float32]
    reached: int
    unknown: Unknown
    dropped: Sequence[int]
    replaced: Set[int]
    is_complete: bool
    is_short: bool = False


def most_hits(probes: Probes) -> int:
    """So many hits of each vector are asked for at most: all of them have to fit into memory."""
    bytes_of_hit = _BYTES_OF_HIT + (4 * probes.vectors.shape[1] if probes.is_mixed else 0)
    return min(max(MOST_BYTES // (bytes_of_hit * len(probes.vectors)), 1), MOST_HITS)


def base_of(
    query: Query,
    probes: Probes,
    found: Sequence[Found],
    are_good: Sequence[bool],
    limit: int,
) -> Base:
    """Scores of hits, after the threshold algorithm (Fagin, Lotem and Naor, 2003).

    Args:
        query: the question.
        probes: what was asked for it.
        found: the hits of each probe (P).
        are_good: of all hits, one probe after the other.
        limit: how many hits of each probe were asked for. Fewer are all that there are if they
            were so with each of them twice (see `Collection`), or where no search goes deeper.
    """
    # What no list has scores at most the best of the wanted lists' ends if a wanted seed is
    # nearest, and at most the least of the others' otherwise.
    is_deepest = limit >= most_hits(probes)
    ends = [_end(each.scores, limit, is_deepest=is_deepest) for each in found]
    wanted_ends = [end for end, is_wanted in zip(ends, probes.are_wanted, strict=True) if is_wanted]
    other_ends = [e for e, is_wanted in zip(ends, probes.are_wanted, strict=True) if not is_wanted]
    bound = max(max(wanted_ends), min(other_ends, default=-np.inf))
    scores: dict[str, float] = {}
    good = iter(are_good)
    for each in found:
        rows = _mixed(query, each) if probes.is_mixed else each.scores
        for name, score in zip(each.ids, rows, strict=True):
            if next(good) and score > scores.get(name, -np.inf):
                scores[name] = score
    return Base(scores, bound)


def has_everyone(found: Sequence[Found], are_good: Sequence[bool], allowed: int) -> bool:
    """Whether each probe's hits have all who may be in the answer, so that none is deeper.

    Args:
        found: the hits of each probe (P).
        are_good: of all hits, one probe after the other, whether each is one who may be in it.
        allowed: how many may be, as of when the hits were checked; who is newer is in the overlay.
    """
    good = iter(are_good)
    return all(
        len(each.ids) >= allowed and len({n for n in each.ids if next(good)}) >= allowed
        for each in found
    )


def _end(scores: Sequence[float], limit: int, *, is_deepest: bool) -> float:
    """What all that was not found scores at most."""
    if len(scores) >= limit:
        return scores[-1]
    return -np.inf if is_deepest or 2 * len(scores) < limit else np.inf


def _mixed(query: Query, found: Found) -> Sequence[float]:
    if not found.scores:
        return []
    assert found.embeddings is not None
    products = query.scoring.probes() @ found.embeddings.T  # (P, N)
    combined: list[float] = query.scoring.combine(products.astype(np.float32)).tolist()
    return combined


def best(scores: dict[str, float], k: int | None) -> tuple[list[str], NDArray[np.float32]]:
    """Ids and scores of the k best, equal ones by their ids; of all without k."""
    ordered = sorted((-score, name) for name, score in scores.items())[:k]
    return [name for _, name in ordered], np.array([-score for score, _ in ordered], np.float32)


def newest_of(overlay: Overlay, query: Query, k: int | None) -> tuple[dict[str, float], int]:
    """Scores of the overlay's best k, or of all, and how many reach the query's score."""
    if k is None:
        found = overlay.matches(query)
        return dict(zip(found.ids, found.scores.tolist(), strict=True)), len(found.ids)
    result = overlay.search(query)
    return {hit.streamer_id: hit.score for hit in result.hits}, result.reached
