"""Cold start in a space that the recommender hands over: own vector, prediction, or centroid."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
from numpy.typing import NDArray

from service.engine.prediction.fitted import FittedGeneration, Predicted
from service.engine.prediction.neighbours import Near
from service.engine.prediction.users import ScoredUser
from service.engine.replica.follower import Follower
from service.engine.spaces.active import ServedGeneration
from service.engine.spaces.established import OwnVector, own_vector
from service.engine.work.search_pool import SearchPool
from service.errors import StreamerNotFound
from service.features.cold_start.answer import (
    ColdStartAnswer,
    ColdStartQuestion,
    IdEmbedding,
    Missing,
    Source,
)
from service.features.cold_start.deadline import Deadline
from service.features.cold_start.neighbours import Neighbour, by_cosine
from service.features.cold_start.placing import Placing, Shown
from service.features.cold_start.reckoning import NOTHING, Leading, Reckoning, Vote
from service.index.base import Hit

_TIMES = 8
"""So many times as many are looked up where these were not enough."""
_ROWS_A_TURN = 256
"""Streamers that are looked up in one turn of the event loop: a millisecond."""
_UNKNOWN = Shown(None, 0.0, 0)
_NO_USERS = "the generation has no users: hand their vectors over with those of streamers"
_NO_NOISE = (
    "the generation does not show how own vectors get nearer to the truth with interactions, so "
    "nothing is known of one that was learned from few"
)


@dataclass(frozen=True, eq=False)
class _Chosen:
    """The vector of an answer; `reason` is why it is less than a prediction."""

    vector: NDArray[np.float32] | None
    source: Source
    method: str
    confidence: float | None
    withheld_because: str | None
    reason: str | None
    popular: NDArray[np.int64]


class InSpace:
    """Answers by one served generation, which it takes once and reads nothing beside.

    What takes long is done in threads: first the nearest and the prediction, then the vote beside
    the search for users.
    """

    def __init__(
        self,
        follower: Follower,
        searches: SearchPool,
        placing: Placing,
        min_interactions: float,
        least_coverage: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Answer with the follower's index.

        Args:
            follower: of the live index.
            searches: where longer work is done, before all bulk work.
            placing: finds or makes embeddings.
            min_interactions: of the established, where a question does not say.
            least_coverage: what shows less is not predicted.
            clock: seconds since 1970.
        """
        self._follower = follower
        self._searches = searches
        self._placing = placing
        self._min_interactions = min_interactions
        self._least_coverage = least_coverage
        self._clock = clock

    async def answer(
        self,
        question: ColdStartQuestion,
        served: ServedGeneration,
        deadline: Deadline,
        *,
        is_seen: bool,
    ) -> ColdStartAnswer:
        """Place a streamer in a space.

        Args:
            question: whom to place.
            served: by which generation.
            deadline: what is not ready by then is missing.
            is_seen: whether the index has the write that the question wants it to know; if not,
                nothing is told of what the streamer shows.

        Raises:
            StreamerNotFound: neither stored nor in the generation.
            InvalidRequest: the profile can't be read.
            Overloaded: too much waits already.
        """
        fitted = cast(FittedGeneration, served.fitted)
        least = self._least(question)
        own = None
        if question.streamer_id is not None:
            own = own_vector(served, question.streamer_id, least)
        shown = await deadline.within(self._shown(question, own)) if is_seen else None
        reckoning = Reckoning(served, question, own, least)
        if shown is not None:
            cost_ms = reckoning.near_cost_ms(shown)
            call = partial(reckoning.foretell, shown)
            await deadline.within(self._searches.run(call, cost_ms))
        told = reckoning.foretold  # once: a thread may be late, and come with it meanwhile
        is_late, foretold = told is None, told or NOTHING
        shown = shown or _UNKNOWN
        chosen = self._choose(fitted, own, shown, foretold.predicted, is_late=is_late)
        await deadline.within(self._vote_and_users(reckoning, chosen.vector))
        vote, users = reckoning.vote, reckoning.users
        neighbours = None
        if vote is not None or not reckoning.wants_votes:
            neighbours = await deadline.within(
                self._neighbours(served, question, shown.embedding, foretold.near, vote, chosen)
            )
        missing: list[Missing] = []
        if is_late and (own is None or not own.is_established):
            missing.append("id_embedding")
        if is_late or neighbours is None:
            missing.append("neighbours")
        if users is None and reckoning.wants_users and chosen.vector is not None:
            missing.append("users")
        return ColdStartAnswer(
            neighbours or [],
            self._embedding(served, chosen),
            chosen.reason,
            shown.modalities,
            shown.coverage,
            self._follower.sequence,
            _incomplete(missing, self._follower.behind_because),
            missing,
            users if users is not None or fitted.users is None else list[ScoredUser](),
            _NO_USERS if question.users and fitted.users is None else None,
            [] if fitted.users is None else fitted.users.unknown(question.user_filter),
        )

    async def _vote_and_users(
        self, reckoning: Reckoning, vector: NDArray[np.float32] | None
    ) -> None:
        """Count the votes and find the users, side by side."""
        work: list[Awaitable[None]] = []
        if reckoning.wants_votes:
            work.append(self._searches.run(reckoning.count_votes, reckoning.fitted.vote_cost_ms))
        if reckoning.wants_users and reckoning.foretold is not None and vector is not None:
            call = partial(reckoning.find_users, vector)
            work.append(self._searches.run(call, reckoning.users_cost_ms))
        await asyncio.gather(*work)

    async def _shown(self, question: ColdStartQuestion, own: OwnVector | None) -> Shown:
        if question.profile is not None:
            return await self._placing.of_profile(question.profile)
        index, streamer_id = self._follower.index, question.streamer_id or ""
        try:
            shown = await self._placing.of_stored(index, streamer_id)
        except StreamerNotFound:
            if own is None:
                raise
            return _UNKNOWN  # the recommender knows it, which is enough
        is_thin = shown.embedding is None or shown.coverage < self._least_coverage
        if is_thin and shown.category is None and not shown.modalities:
            (row,) = await index.get([streamer_id])
            category = None if row is None else row.facets.get("category")
            if isinstance(category, str):
                return Shown(shown.embedding, shown.coverage, shown.modalities_used, category)
        return shown

    def _choose(
        self,
        fitted: FittedGeneration,
        own: OwnVector | None,
        shown: Shown,
        predicted: Predicted | None,
        *,
        is_late: bool,
    ) -> _Chosen:
        """The first step of the ladder that holds: own, blended, predicted, centroid, nothing."""
        if shown.coverage < self._least_coverage:
            predicted = None
        none = np.zeros(0, np.int64)
        if own is not None and own.is_established:
            return _Chosen(own.vector, "own", "own", 1.0, None, None, none)
        predictor = fitted.fit.predictor
        if predicted is not None and predictor is not None:
            why = predictor.confidence.withheld_because
            if own is None or own.interactions is None:
                source, method = predictor.source, predictor.method
                told = predicted.confidence
                return _Chosen(predicted.vector, source, method, told, why, None, none)
            shrinkage = fitted.fit.shrinkage
            vector = shrinkage.blend(own.vector, predicted.vector, own.interactions)
            share = shrinkage.share(own.interactions)
            confidence = None
            if predicted.confidence is not None:
                confidence = shrinkage.expected_cosine(own.interactions, predicted.confidence)
                why = _NO_NOISE if confidence is None else None
            method = f"own {share:.2f} + {predictor.method}"
            return _Chosen(vector, "blended", method, confidence, why, None, none)
        if is_late:
            reason = "deadline"
        elif shown.embedding is None:
            reason = "insufficient_content"
        elif shown.coverage < self._least_coverage:
            reason = "low_coverage"
        else:
            reason = "no_established_neighbours"
        if own is not None:
            why = f"it was learned from {own.interactions or 0:g} interactions alone"
            return _Chosen(own.vector, "own", "own", None, why, reason, none)
        centroids = fitted.centroids
        if centroids is None:
            return _Chosen(None, "centroid", "none", None, None, reason, none)
        mine = None if shown.category is None else centroids.by_category.get(shown.category)
        method = "popularity" if mine is None else "category"
        found = mine or centroids
        return _Chosen(found.vector, "centroid", method, 0.0, None, reason, found.popular)

    async def _neighbours(
        self,
        served: ServedGeneration,
        question: ColdStartQuestion,
        embedding: NDArray[np.float32] | None,
        near: Near | None,
        vote: Vote | None,
        chosen: _Chosen,
    ) -> list[Neighbour]:
        """Established and stored streamers: those voted for, else the nearest, else the popular."""
        fitted = cast(FittedGeneration, served.fitted)
        count, own = question.neighbours, question.streamer_id
        ids = fitted.generation.streamer_ids
        if len(chosen.popular):
            least = self._least(question)
            popular = chosen.popular[fitted.are_established(chosen.popular, least)]
            found = await self._stored(fitted, popular, None, count, own)
            return [Neighbour(ids[row], score, 1 / len(found)) for row, _, score in found]
        if vote is None or not len(vote.elected.named):
            if near is None:
                return []
            rows = fitted.rows[near.places[0]]
            found = await self._stored(fitted, rows, embedding, count, own)
            return by_cosine([Hit(ids[row], score or 0.0) for row, _, score in found])
        elected, leading = vote
        while True:
            rows = fitted.rows[leading.places]
            found = await self._stored(fitted, rows, embedding, count, own)
            if len(found) == count or len(rows) == len(elected.named):
                break
            leading = Leading.of(elected, _TIMES * len(rows))
        if not found:
            return []
        weights = elected.scores[leading.places[[place for _, place, _ in found]]]
        weights = weights / max(float(weights.sum()), 1e-30)
        gone = served.erased_streamers
        return [
            Neighbour(
                ids[row],
                score,
                weight,
                [name for v in leading.via[place] if (name := ids[v]) not in gone],
            )
            for (row, place, score), weight in zip(found, weights.tolist(), strict=True)
        ]

    async def _stored(
        self,
        fitted: FittedGeneration,
        rows: NDArray[np.int64],
        embedding: NDArray[np.float32] | None,
        count: int,
        own: str | None,
    ) -> list[tuple[int, int, float | None]]:
        """The first `count` of rows that are stored: row, its place, and cosine of the content."""
        index, ids = self._follower.index, fitted.generation.streamer_ids
        found: list[tuple[int, int, float | None]] = []
        known: list[int] = rows.tolist()
        for place, row in enumerate(known):
            name = ids[row]
            stored = await index.vector(name)
            if stored is not None and stored.embedding is not None and name != own:
                score = None if embedding is None else float(embedding @ stored.embedding)
                found.append((row, place, score))
                if len(found) == count:
                    break
            if place % _ROWS_A_TURN == _ROWS_A_TURN - 1:
                await asyncio.sleep(0)
        return found

    def _least(self, question: ColdStartQuestion) -> float:
        """Interactions that make an established streamer."""
        least = question.min_interactions
        return self._min_interactions if least is None else least

    def _embedding(self, served: ServedGeneration, chosen: _Chosen) -> IdEmbedding | None:
        if chosen.vector is None:
            return None
        generation = served.generation
        return IdEmbedding(
            generation.space,
            chosen.vector,
            chosen.source,
            chosen.method,
            chosen.confidence,
            chosen.withheld_because,
            generation.generation,
            round(max(self._clock() - generation.created_at, 0.0), 3),
        )


def _incomplete(missing: list[Missing], behind: str | None) -> str | None:
    if missing:
        return f"not ready by deadline_ms: {', '.join(missing)}"
    return behind
