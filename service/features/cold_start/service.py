"""Cold start: a new streamer in the recommender's own terms."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_export.contract.bundle import IdSpace
from model_export.contract.established import VOTERS
from model_export.contract.streamer import StreamerProfile
from service.engine.encoding.pipeline import EncodingPipeline
from service.engine.encoding.profile_reader import ToRead
from service.engine.encoding.stored_profiles import StoredProfiles
from service.engine.replica.follower import Follower
from service.engine.work.search_pool import SearchPool
from service.errors import FieldError, InvalidRequest, StreamerNotFound
from service.features.cold_start.neighbours import Neighbour, Recommender, by_cosine, by_vote
from service.index.query import Query, ScoringSpec
from service.store.base import Record


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
    coverage: float
    index_sequence: int
    incomplete_because: str | None


class ColdStart:
    """The use-case behind `POST /v1/cold-start`."""

    def __init__(
        self,
        follower: Follower,
        searches: SearchPool,
        pipeline: EncodingPipeline,
        stored: StoredProfiles,
        id_space: IdSpace | None,
        recommender: Recommender | None,
        visible_timeout_ms: int,
        least_coverage: float = 0.0,
    ) -> None:
        """Without a `recommender`, all that are stored count as established.

        What shows less than `least_coverage` is not predicted: it gets the centroid.
        """
        self._follower = follower
        self._searches = searches
        self._pipeline = pipeline
        self._stored = stored
        self.model_version = pipeline.model_version
        self._id_space = id_space
        self._recommender = recommender
        self._visible_timeout_ms = visible_timeout_ms
        self._least_coverage = least_coverage

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
            record = await self._record(streamer_id)
            profile = StreamerProfile.model_validate_json(record.profile)
            item = ToRead(profile, tower_vectors=record.tower_vectors, stored=record.profile)
        if item is None:
            raise InvalidRequest.of("", "needs streamer_id or profile")
        placed = await self._pipeline.encode(item)
        modalities: dict[str, str] = dict(placed.features.status)
        coverage = placed.features.coverage
        state = coverage, self._follower.sequence, self._follower.behind_because
        if placed.encoded is None:
            return ColdStartAnswer([], self._centroid(), "insufficient_content", modalities, *state)
        near = await self._near(placed.encoded.embedding, item.profile.streamer_id, neighbours)
        if coverage < self._least_coverage:
            return ColdStartAnswer(near, self._centroid(), "low_coverage", modalities, *state)
        vector = placed.encoded.id_embedding
        if self._id_space is None or vector is None:
            return ColdStartAnswer(near, None, "model_has_no_id_space", modalities, *state)
        confidence = 0.0
        if near and self._recommender is not None:
            confidence = _agreement(vector, self._recommender.mean(near))
        return ColdStartAnswer(
            near,
            PredictedId(self._id_space.name, vector, "predicted", confidence),
            None if near else "no_established_neighbours",
            modalities,
            *state,
        )

    async def _record(self, streamer_id: str) -> Record:
        try:
            record = await self._stored.get(streamer_id)
            if record.model_version != self._pipeline.model_version:
                raise StreamerNotFound(f"streamer {streamer_id!r} is not encoded by this model")
        except StreamerNotFound as error:
            field = FieldError("/streamer_id", error.detail)
            raise StreamerNotFound(error.detail, [field]) from error
        return record

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
        hits = (await index.search(query)).hits
        if recommender is None or graph is None:
            return by_cosine(hits)
        return await by_vote(index, self._searches, recommender, graph, embedding, hits, own, count)

    def _centroid(self) -> PredictedId | None:
        if self._id_space is None or self._recommender is None or not self._recommender.ids:
            return None
        return PredictedId(self._id_space.name, self._recommender.centroid, "centroid", 0.0)


def _agreement(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Cosine, cut to 0..1; 0 when one of them vanishes."""
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return 0.0 if norm < 1e-9 else float(np.clip(a @ b / norm, 0.0, 1.0))
