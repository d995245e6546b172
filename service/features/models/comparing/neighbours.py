"""Neighbours of a sample of streamers under two models."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from service.engine.work.lanes import Lane, Lanes
from service.features.jobs.runner import persist
from service.features.models.comparing.open_models import Both, OpenModel
from service.features.models.comparing.rated import give_way
from service.features.models.comparing.records import Answering, ChangedNeighbours, Neighbours
from service.features.models.comparing.sampling import HashSample
from service.features.models.overlap import overlap_of
from service.index.query import Query, ScoringSpec
from service.store.base import StreamerStore

K = 10
_MOST_CHANGED = 20
_LISTED_AT_ONCE = 1000


@dataclass
class _Asked:
    """What one model answered."""

    answers: list[list[str]] = field(default_factory=list[list[str]])
    ms: list[float] = field(default_factory=list[float])
    found: list[float] = field(default_factory=list[float])


async def drawn_from(store: StreamerStore, most: int) -> list[str]:
    """Ids of stored streamers at random, the same ones as long as the same are stored."""
    sample, after = HashSample[str](most), ""
    while True:
        start = after
        names = await persist(lambda: store.list_ids(start, _LISTED_AT_ONCE))  # noqa: B023
        for name in names:
            sample.add(name, name)
        if len(names) < _LISTED_AT_ONCE:
            return sample.items()
        after = names[-1]


async def compare_neighbours(
    both: Both, sample: Sequence[str], lanes: Lanes, tell: Callable[[int], Awaitable[None]]
) -> Neighbours | None:
    """The nearest of each of some streamers, by both models.

    Args:
        both: models.
        sample: ids of the streamers.
        lanes: where others wait.
        tell: hears how many are done.

    Returns:
        None where nobody has a vector in both and a neighbour in one.
    """
    asked = _Asked(), _Asked()
    ids: list[str] = []
    for place, name in enumerate(sample):
        models = (both.active, both.target)
        vectors = [await _vector(model, name) for model in models]
        if all(vector is not None for vector in vectors):
            ids.append(name)
            order = (0, 1) if place % 2 == 0 else (1, 0)  # neither always asks first
            for side in order:
                vector = vectors[side]
                assert vector is not None
                await _ask(models[side], name, vector, asked[side], lanes)
        await tell(place + 1)
    if not ids:
        return None
    counts = (await both.active.index()).count, (await both.target.index()).count
    # With ten thousand streamers it takes tenths of a second.
    return await persist(lambda: lanes.run(lambda: _told(ids, asked, counts), Lane.BULK))


def _told(
    ids: Sequence[str], asked: tuple[_Asked, _Asked], stored: tuple[int, int]
) -> Neighbours | None:
    """What both models answered about `ids`, with as many streamers `stored` in each."""
    before, after = asked
    overlaps = [overlap_of(*pair) for pair in zip(before.answers, after.answers, strict=True)]
    known = [(each, name) for each, name in zip(overlaps, ids, strict=True) if each is not None]
    if not known:
        return None
    shared = [each.share for each, _ in known]
    changed = sorted((each.share, name) for each, name in known)[:_MOST_CHANGED]
    moved = [places for each, _ in known for places in each.moved]
    return Neighbours(
        len(known),
        K,
        round(float(np.mean(shared)), 6),
        round(float(np.quantile(shared, 0.1)), 6),
        round(float(np.mean(moved)), 6) if moved else 0.0,
        round(sum(each.is_same_first for each, _ in known) / len(known), 6),
        _answering(before, stored[0]),
        _answering(after, stored[1]),
        [ChangedNeighbours(name, round(overlap, 6)) for overlap, name in changed if overlap < 1],
    )


async def _vector(model: OpenModel, name: str) -> NDArray[np.float32] | None:
    stored = await (await model.index()).vector(name)
    return None if stored is None else stored.embedding


async def _ask(
    model: OpenModel, name: str, vector: NDArray[np.float32], asked: _Asked, lanes: Lanes
) -> None:
    await give_way(lanes)
    spec, index = ScoringSpec.nearest(vector), await model.index()
    began = time.perf_counter()
    found = await persist(lambda: index.search(Query(spec, K, exclude=(name,))))
    asked.ms.append((time.perf_counter() - began) * 1000)
    hits = [hit.streamer_id for hit in found.hits]
    asked.answers.append(hits)
    if found.exact:
        asked.found.append(1.0)
        return
    await give_way(lanes)
    whole = await persist(lambda: index.search(Query(spec, K, exclude=(name,), exact=True)))
    nearest = {hit.streamer_id for hit in whole.hits}
    asked.found.append(len(nearest & {*hits}) / max(len(nearest), 1))


def _answering(asked: _Asked, stored: int) -> Answering:
    counts = Counter(name for answer in asked.answers for name in answer)
    most = max(counts.values(), default=0)
    median, high = np.quantile(asked.ms, [0.5, 0.95]).tolist()
    return Answering(
        round(median, 3),
        round(high, 3),
        round(most / len(asked.answers), 6),
        round(skewness(list(counts.values()), max(stored, len(counts))), 6),
        round(float(np.mean(asked.found)), 6),
    )


def skewness(counts: Sequence[int], total: int) -> float:
    """Third standardised moment of the counts of `total` things; those not given are 0."""
    if not total:
        return 0.0
    values = np.asarray(counts, np.float64)
    rest = total - len(values)
    mean = values.sum() / total
    second = (((values - mean) ** 2).sum() + rest * mean**2) / total
    third = (((values - mean) ** 3).sum() - rest * mean**3) / total
    return 0.0 if second == 0 else float(third / second**1.5)
