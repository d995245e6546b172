"""Cold start: a new streamer in the recommender's own terms."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model_export.contract.bundle import IdSpace
from model_export.contract.established import VOTERS
from model_export.contract.streamer import StreamerProfile
from service.engine.encoding.pipeline import EncodedProfile
from service.engine.encoding.profile_reader import ToRead
from service.engine.replica.follower import Follower
from service.engine.spaces.active import ActiveSpaces, ServedGeneration
from service.engine.work.search_pool import SearchPool
from service.errors import InvalidRequest, NotReady
from service.features.cold_start.answer import ColdStartAnswer, ColdStartQuestion, IdEmbedding
from service.features.cold_start.deadline import Deadline
from service.features.cold_start.in_space import InSpace
from service.features.cold_start.neighbours import Neighbour, Recommender, by_cosine, by_vote
from service.features.cold_start.placing import Placing
from service.index.query import Query, ScoringSpec

_NO_SPACE = (
    "no generation is served of this space: hand one over with "
    "PUT /v1/spaces/{space}/generations/{generation}"
)


class ColdStart:
    """The use-case behind `POST /v1/cold-start`.

    Spaces that the recommender hands over are answered by what is served of them, the bundle's own
    space by the bundle.
    """

    def __init__(
        self,
        follower: Follower,
        searches: SearchPool,
        placing: Placing,
        model_version: str,
        id_space: IdSpace | None,
        recommender: Recommender | None,
        visible_timeout_ms: int,
        least_coverage: float,
        active: ActiveSpaces,
        in_space: InSpace,
    ) -> None:
        """Without a `recommender`, all that are stored count as established by the bundle.

        What shows less than `least_coverage` is not predicted: it gets the centroid.
        """
        self._follower = follower
        self._searches = searches
        self._placing = placing
        self.model_version = model_version
        self._id_space = id_space
        self._recommender = recommender
        self._visible_timeout_ms = visible_timeout_ms
        self._least_coverage = least_coverage
        self._active = active
        self._in_space = in_space

    async def answer(self, question: ColdStartQuestion) -> ColdStartAnswer:
        """Place a stored streamer or a profile among the established ones.

        Raises:
            StreamerNotFound: the streamer is neither stored nor known to the recommender.
            InvalidRequest: the space is unknown, or the profile can't be read.
            NotReady: the generation that is served is being loaded.
            NotYetVisible: `after_sequence` was not reached in time.
            Overloaded: too many searches wait already, or the service's own deadline passed.
        """
        deadline = Deadline(question.deadline_ms)
        served = self._served(question.space)
        is_seen = await deadline.within(self._seen(question.after_sequence)) is not None
        if served is not None:
            return await self._in_space.answer(question, served, deadline, is_seen=is_seen)
        found = await deadline.within(self._by_bundle(question)) if is_seen else None
        if found is not None:
            return found
        return ColdStartAnswer(
            [],
            self._centroid(),
            "deadline",
            {},
            0.0,
            self._follower.sequence,
            "not ready by deadline_ms: id_embedding, neighbours",
            ["id_embedding", "neighbours"],
            no_users_because=_NO_SPACE if question.users else None,
        )

    async def _seen(self, sequence: int) -> bool:
        """Return once the index has a write; raises `NotYetVisible` if it takes too long."""
        await self._follower.wait_for(sequence, self._visible_timeout_ms)
        return True

    def _served(self, space: str | None) -> ServedGeneration | None:
        """What answers: a generation, or None for the bundle.

        Raises:
            InvalidRequest: nothing does, or it is not clear which.
            NotReady: the generation is not in memory yet; the bundle's space is another one.
        """
        mine = None if self._id_space is None else self._id_space.name
        names = self._active.expected()
        if space is None:
            if mine is not None and (mine in names or not names):
                space = mine
            elif len(names) == 1:
                space = names[0]
            elif names:
                known = [*names, mine] if mine is not None else names
                raise InvalidRequest.of("/space", f"name one of: {', '.join(known)}")
            else:
                return None
        served = self._active.get(space)
        if served is None and (space != mine or space in names):
            known = sorted(set(names) | ({mine} if mine else set[str]()))
            if space in names:
                raise NotReady(f"what is served of the space {space!r} is being loaded")
            raise InvalidRequest.of(
                "/space",
                f"there are no ID-embeddings of space {space!r}"
                + (f", only of: {', '.join(known)}" if known else "; hand a generation over"),
            )
        return served

    async def _by_bundle(self, question: ColdStartQuestion) -> ColdStartAnswer:
        placed = await self._placing.encoded(await self._item(question))
        features, follower = placed.features, self._follower
        near, vector, reason = await self._predicted(placed, question.neighbours)
        return ColdStartAnswer(
            near,
            vector,
            reason,
            dict(features.status),
            features.coverage,
            follower.sequence,
            follower.behind_because,
            no_users_because=_NO_SPACE if question.users else None,
        )

    async def _item(self, question: ColdStartQuestion) -> ToRead:
        if question.streamer_id is not None:
            record = await self._placing.record(question.streamer_id)
            profile = StreamerProfile.model_validate_json(record.profile)
            return ToRead(profile, tower_vectors=record.tower_vectors, stored=record.profile)
        if question.profile is None:
            raise InvalidRequest.of("", "needs streamer_id or profile")
        return ToRead(question.profile, "/profile")

    async def _predicted(
        self, placed: EncodedProfile, count: int
    ) -> tuple[Sequence[Neighbour], IdEmbedding | None, str | None]:
        if placed.encoded is None:
            return [], self._centroid(), "insufficient_content"
        near = await self._near(placed.encoded.embedding, placed.profile.streamer_id, count)
        if placed.features.coverage < self._least_coverage:
            return near, self._centroid(), "low_coverage"
        vector = placed.encoded.id_embedding
        if self._id_space is None or vector is None:
            return near, None, "model_has_no_id_space"
        confidence = 0.0
        if near and self._recommender is not None:
            confidence = _agreement(vector, self._recommender.mean(near))
        predicted = IdEmbedding(self._id_space.name, vector, "mapped", "predicted", confidence)
        return near, predicted, None if near else "no_established_neighbours"

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

    def _centroid(self) -> IdEmbedding | None:
        if self._id_space is None or self._recommender is None or not self._recommender.ids:
            return None
        centroid = self._recommender.centroid
        return IdEmbedding(self._id_space.name, centroid, "centroid", "centroid", 0.0)


def _agreement(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Cosine, cut to 0..1; 0 when one of them vanishes."""
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return 0.0 if norm < 1e-9 else float(np.clip(a @ b / norm, 0.0, 1.0))
