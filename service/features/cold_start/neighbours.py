"""Established streamers near a new one: by cosine, or by the vote of their audiences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from model_export.contract.established import BehaviourGraph, Established, Tally
from service.index.base import Hit, VectorIndex
from service.index.work import Work

_TEMPERATURE = 0.1
"""Of the softmax that turns neighbours' cosines into weights where nobody votes."""
_SHOWN_VOTERS = 3
_MS_PER_CANDIDATE = 2e-5
"""Of an established streamer in a vote: a few passes over arrays."""
_MORE = 22
"""So many more than asked for are looked up first: not all that are voted for are stored."""


@dataclass(slots=True)
class Neighbour:
    """An established streamer.

    Attributes:
        streamer_id: whose it is.
        score: cosine of its embedding and the new one's; None where the new one shows nothing.
        weight: share of all neighbours' weight.
        via: whose votes brought it here, the weightiest first; none when cosines alone decided.
    """

    streamer_id: str
    score: float | None
    weight: float
    via: Sequence[str] = ()


class Recommender:
    """The established streamers and what the recommender knows of them."""

    def __init__(self, established: Established) -> None:
        """`established` as the bundle has them."""
        self.row_of = {streamer_id: row for row, streamer_id in enumerate(established.ids)}
        self.ids, self.graph = established.ids, established.graph
        self._vectors = established.vectors  # (N, E)
        count = max(len(established.ids), 1)  # none at all is no reason to divide by zero
        self.centroid: NDArray[np.float32] = self._vectors.sum(axis=0) / np.float32(count)  # (E,)

    def mean(self, neighbours: Sequence[Neighbour]) -> NDArray[np.float32]:
        """The neighbours' ID-embeddings, weighted: (E,)."""
        rows = [self.row_of[n.streamer_id] for n in neighbours]
        weights = np.array([n.weight for n in neighbours], np.float32)
        return weights @ self._vectors[rows]


async def by_vote(
    index: VectorIndex,
    work: Work,
    recommender: Recommender,
    graph: BehaviourGraph,
    embedding: NDArray[np.float32],
    hits: Sequence[Hit],
    own: str,
    count: int,
) -> list[Neighbour]:
    """Elect the established streamers that the hits' audiences vote for.

    Args:
        index: who is stored; others are left out.
        work: where votes are counted.
        recommender: the established streamers.
        graph: whose audiences overlap with whose.
        embedding: (D,) of the new streamer.
        hits: the voters, the nearest established streamers.
        own: the new streamer's id, which is left out.
        count: how many neighbours to return at most.
    """

    def vote() -> tuple[Tally, NDArray[np.float32]]:
        voters = np.array([recommender.row_of[hit.streamer_id] for hit in hits], np.int64)
        shares = graph.shares(np.array([hit.score for hit in hits], np.float32))
        tally = graph.count(voters, shares)
        return tally, tally.scores()  # (N,)

    cost_ms = len(recommender.ids) * _MS_PER_CANDIDATE
    tally, scores = await work.run(vote, cost_ms)
    blocks = _best_first(scores, count + _MORE)
    elected: list[int] = []
    cosines: list[float] = []
    while (block := await work.run(partial(next, blocks, None), cost_ms)) is not None:
        ids = [recommender.ids[row] for row in block]
        for row, stored in zip(block, await index.get(ids), strict=True):
            if stored and stored.embedding is not None and stored.streamer_id != own:
                elected.append(row)
                cosines.append(float(embedding @ stored.embedding))
        if len(elected) >= count:
            break
    rows = np.array(elected[:count], np.int64)
    weights: list[float] = (scores[rows] / max(float(scores[rows].sum()), 1e-30)).tolist()
    via = tally.leading(rows, _SHOWN_VOTERS)
    return [
        Neighbour(recommender.ids[row], cosine, weight, [hits[i].streamer_id for i in places])
        for row, cosine, weight, places in zip(elected, cosines, weights, via, strict=False)
    ]


def by_cosine(hits: Sequence[Hit]) -> list[Neighbour]:
    """Weigh the nearest by the softmax of their cosines over `_TEMPERATURE`."""
    if not hits:
        return []
    scores = np.array([hit.score for hit in hits])
    weights = np.exp((scores - scores.max()) / _TEMPERATURE)
    weights /= weights.sum()
    return [
        Neighbour(hit.streamer_id, hit.score, float(w))
        for hit, w in zip(hits, weights, strict=True)
    ]


def _best_first(scores: NDArray[np.float32], first: int) -> Iterator[list[int]]:
    """The rows that have a score (N,), the highest first, in blocks of `first` and then more."""
    named = np.flatnonzero(scores > 0)
    done, size = 0, first
    while done < len(named):
        rank = max(len(named) - size, 0)
        least = np.partition(scores[named], rank)[rank]
        best = named[scores[named] >= least]
        best = best[np.argsort(-scores[best], kind="stable")]  # equal ones by their row
        yield best[done:].tolist()
        done, size = len(best), 4 * size
