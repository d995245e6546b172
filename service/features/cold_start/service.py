"""Cold start: a new streamer in the recommender's own terms."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from model_export.contract.bundle import IdSpace
from model_export.contract.established import VOTERS, BehaviourGraph, Established, Tally
from model_export.contract.streamer import StreamerProfile
from service.engine.encoding.profile_reader import ToRead
from service.engine.replica.follower import Follower
from service.engine.work.search_pool import SearchPool
from service.errors import InvalidRequest, StreamerNotFound
from service.features.streamers.service import Profiles
from service.index.base import Hit, VectorIndex
from service.index.query import Query, ScoringSpec

_TEMPERATURE = 0.1
"""Of the softmax that turns neighbours' cosines into weights where nobody votes."""
_SHOWN_VOTERS = 3
_MS_PER_CANDIDATE = 2e-5
"""Of an established streamer in a vote: a few passes over arrays."""
_MORE = 22
"""So many more than asked for are looked up first: not all that are voted for are stored."""


@dataclass(slots=True)
class Neighbour(Hit):
    """An established streamer; its score is the cosine of its embedding and the new one's.

    Attributes:
        weight: share of all neighbours' weight.
        via: whose votes brought it here, the weightiest first; none when cosines alone decided.
    """

    weight: float
    via: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class PredictedId:
    """A vector in the recommender's ID space.

    Attributes:
        space: the name of that space.
        vector: float32 (E,).
        method: `predicted` by the encoder's head, or the `centroid` of all established streamers.
        confidence: 0..1, the cosine of the prediction with the neighbours' weighted mean vector:
            two independent estimates that agree can be trusted. 0 when there is only one.
    """

    space: str
    vector: NDArray[np.float32]
    method: str
    confidence: float


@dataclass(frozen=True, eq=False)
class ColdStartAnswer:
    """Neighbours, the predicted ID-embedding, and why less than that was possible.

    `incomplete_because` says why the newest writes may be missing, None when they are not.
    """

    neighbours: Sequence[Neighbour]
    id_embedding: PredictedId | None
    fallback_reason: str | None
    modalities: dict[str, str]
    index_sequence: int
    incomplete_because: str | None


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


class ColdStart:
    """The use-case behind `POST /v1/cold-start`."""

    def __init__(
        self,
        follower: Follower,
        searches: SearchPool,
        profiles: Profiles,
        id_space: IdSpace | None,
        recommender: Recommender | None,
        visible_timeout_ms: int,
    ) -> None:
        """Without a `recommender`, all that are stored count as established."""
        self._follower = follower
        self._searches = searches
        self._profiles = profiles
        self._id_space = id_space
        self._recommender = recommender
        self._visible_timeout_ms = visible_timeout_ms

    async def answer(
        self,
        *,
        streamer_id: str | None = None,
        profile: StreamerProfile | None = None,
        space: str | None = None,
        neighbours: int = 10,
        after_sequence: int = 0,
    ) -> ColdStartAnswer:
        """Place a stored streamer or a profile among the established ones.

        Raises:
            StreamerNotFound: `streamer_id` is not stored.
            InvalidRequest: `space` is not the model's, or the profile can't be read.
            NotYetVisible: `after_sequence` was not reached in time.
            Overloaded: too many searches wait already, or the deadline passed.
        """
        self._check_space(space)
        await self._follower.wait_for(after_sequence, self._visible_timeout_ms)
        item = None if profile is None else ToRead(profile, "/profile")
        if streamer_id is not None:
            record = await self._profiles.get(streamer_id)
            profile = StreamerProfile.model_validate_json(record.profile)
            item = ToRead(profile, tower_vectors=record.tower_vectors, stored=record.profile)
            if record.model_version != self._profiles.model_version:
                raise StreamerNotFound(f"streamer {streamer_id!r} is not encoded by this model")
        if item is None:
            raise InvalidRequest.of("", "needs streamer_id or profile")
        placed = await self._profiles.encode(item)
        modalities: dict[str, str] = dict(placed.features.status)
        as_of = self._follower.sequence, self._follower.behind_because
        if placed.encoded is None:
            return ColdStartAnswer([], self._centroid(), "insufficient_content", modalities, *as_of)
        near = await self._near(placed.encoded.embedding, item.profile.streamer_id, neighbours)
        vector = placed.encoded.id_embedding
        if self._id_space is None or vector is None:
            return ColdStartAnswer(near, None, "model_has_no_id_space", modalities, *as_of)
        confidence = 0.0
        if near and self._recommender is not None:
            confidence = _agreement(vector, self._recommender.mean(near))
        return ColdStartAnswer(
            near,
            PredictedId(self._id_space.name, vector, "predicted", confidence),
            None if near else "no_established_neighbours",
            modalities,
            *as_of,
        )

    def _check_space(self, space: str | None) -> None:
        known = None if self._id_space is None else self._id_space.name
        if space is not None and space != known:
            raise InvalidRequest.of(
                "/space",
                f"the model predicts no ID-embeddings of space {space!r}"
                + (f", only of {known!r}" if known else "; it was trained without a teacher"),
            )

    async def _near(self, embedding: NDArray[np.float32], own: str, count: int) -> list[Neighbour]:
        """The best established streamers, by the vote of those most alike where there is one."""
        index, recommender = self._follower.index, self._recommender
        graph = None if recommender is None else recommender.graph
        depth = count if graph is None else VOTERS

        query = Query(
            ScoringSpec.nearest(embedding),
            depth,
            exclude={own},
            established_only=recommender is not None,
        )
        found = await index.search(query)
        if recommender is None or graph is None:
            return _weighted(found.hits)
        return await self._elected(index, recommender, graph, embedding, found.hits, own, count)

    async def _elected(
        self,
        index: VectorIndex,
        recommender: Recommender,
        graph: BehaviourGraph,
        embedding: NDArray[np.float32],
        hits: Sequence[Hit],
        own: str,
        count: int,
    ) -> list[Neighbour]:
        """The best by the vote of the hits, of those that are stored and can be encoded."""

        def vote() -> tuple[Tally, NDArray[np.float32]]:
            voters = np.array([recommender.row_of[hit.streamer_id] for hit in hits], np.int64)
            shares = graph.shares(np.array([hit.score for hit in hits], np.float32))
            tally = graph.count(voters, shares)
            return tally, tally.scores()  # (N,)

        cost_ms = len(recommender.ids) * _MS_PER_CANDIDATE
        tally, scores = await self._searches.run(vote, cost_ms)
        blocks = _best_first(scores, count + _MORE)
        elected: list[int] = []
        cosines: list[float] = []
        while (block := await self._searches.run(partial(next, blocks, None), cost_ms)) is not None:
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

    def _centroid(self) -> PredictedId | None:
        if self._id_space is None or self._recommender is None or not self._recommender.ids:
            return None
        return PredictedId(self._id_space.name, self._recommender.centroid, "centroid", 0.0)


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


def _weighted(hits: Sequence[Hit]) -> list[Neighbour]:
    """Softmax of the cosines over `_TEMPERATURE`."""
    if not hits:
        return []
    scores = np.array([hit.score for hit in hits])
    weights = np.exp((scores - scores.max()) / _TEMPERATURE)
    weights /= weights.sum()
    return [
        Neighbour(hit.streamer_id, hit.score, float(w))
        for hit, w in zip(hits, weights, strict=True)
    ]


def _agreement(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Cosine, cut to 0..1; 0 when one of them vanishes."""
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return 0.0 if norm < 1e-9 else float(np.clip(a @ b / norm, 0.0, 1.0))
