"""Cold start in a space that the recommender hands over: own vector, prediction, or centroid."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from service.engine.prediction.fitted import Elected, FittedGeneration, Predicted
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
from service.index.base import Hit

_SHOWN_VOTERS = 3
_MORE = 22
"""So many more than asked for are looked up first: not all that are voted for are stored."""
_UNKNOWN = Shown(None, 0.0, 0)
_NO_USERS = "the generation has no users: hand their vectors over with those of streamers"


class _Foretold(NamedTuple):
    """What content tells: the nearest, the prediction and the vote, each None where it can't."""

    near: Near | None
    predicted: Predicted | None
    elected: Elected | None


_NOTHING = _Foretold(None, None, None)


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
    """Answers by one served generation, which it takes once and reads nothing beside."""

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
        self, question: ColdStartQuestion, served: ServedGeneration, deadline: Deadline
    ) -> ColdStartAnswer:
        """Place a streamer in a space.

        Raises:
            StreamerNotFound: neither stored nor in the generation.
            InvalidRequest: the profile can't be read.
            Overloaded: too much waits already.
        """
        generation, fitted = served.generation, cast(FittedGeneration, served.fitted)
        least = question.min_interactions
        least = self._min_interactions if least is None else least
        own = None
        if question.streamer_id is not None:
            own = own_vector(generation, question.streamer_id, least)
        missing: list[Missing] = []
        shown = await deadline.within(self._shown(question, own))
        foretold: _Foretold | None = _NOTHING
        if shown is not None and shown.embedding is not None:
            row = None if own is None else own.row
            call = partial(_foretell, fitted, shown, shown.embedding, row, least)
            foretold = await deadline.within(self._searches.run(call, fitted.cost_ms))
        is_late = shown is None or foretold is None
        shown, foretold = shown or _UNKNOWN, foretold or _NOTHING
        chosen = self._choose(fitted, own, shown, foretold, is_late)
        if is_late:
            missing.append("neighbours")
            if chosen.source != "own":
                missing.insert(0, "id_embedding")
        users = None
        if question.users and fitted.users is not None and chosen.vector is not None:
            search = partial(
                fitted.users.search,
                chosen.vector,
                question.users,
                exclude=(question.exclude_users, served.erased_users),
                min_score=question.min_score,
            )
            users = await deadline.within(self._searches.run(search, fitted.users.cost_ms))
            if users is None:
                missing.append("users")
        neighbours = await deadline.within(
            self._neighbours(fitted, question, shown, foretold, chosen)
        )
        if neighbours is None and "neighbours" not in missing:
            missing.append("neighbours")
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
        )

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
        if shown.category is None and not shown.modalities:
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
        foretold: _Foretold,
        is_late: bool,
    ) -> _Chosen:
        """The first step of the ladder that holds: own, blended, predicted, centroid, nothing."""
        predicted = foretold.predicted
        if shown.coverage < self._least_coverage:
            predicted = None
        none = np.zeros(0, np.int64)
        if own is not None and (own.is_established or predicted is None):
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
            told = predicted.confidence
            confidence = None if told is None else share + (1 - share) * told
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
        centroids = fitted.centroids
        if centroids is None:
            return _Chosen(None, "centroid", "none", None, None, reason, none)
        mine = None if shown.category is None else centroids.by_category.get(shown.category)
        method = "popularity" if mine is None else "category"
        found = mine or centroids
        return _Chosen(found.vector, "centroid", method, 0.0, None, reason, found.popular)

    async def _neighbours(
        self,
        fitted: FittedGeneration,
        question: ColdStartQuestion,
        shown: Shown,
        foretold: _Foretold,
        chosen: _Chosen,
    ) -> list[Neighbour]:
        """Established and stored streamers: those voted for, else the nearest, else the popular."""
        count, own = question.neighbours, question.streamer_id
        ids = fitted.generation.streamer_ids
        elected = foretold.elected
        if len(chosen.popular):
            found = await self._stored(fitted, chosen.popular, None, count, own)
            return [Neighbour(ids[row], score, 1 / len(found)) for row, _, score in found]
        if elected is None or not len(elected.rows):
            if foretold.near is None:
                return []
            rows = fitted.rows[foretold.near.places[0]]
            found = await self._stored(fitted, rows, shown.embedding, count, own)
            return by_cosine([Hit(ids[row], score or 0.0) for row, _, score in found])
        found = await self._stored(fitted, elected.rows, shown.embedding, count, own)
        if not found:
            return []
        total = max(sum(float(elected.scores[place]) for _, place, _ in found), 1e-30)
        voters = elected.via(np.array([place for _, place, _ in found]), _SHOWN_VOTERS)
        return [
            Neighbour(
                ids[row],
                score,
                float(elected.scores[place]) / total,
                [ids[voter] for voter in mine],
            )
            for (row, place, score), mine in zip(found, voters, strict=True)
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
        size, start = count + _MORE, 0
        while start < len(rows) and len(found) < count:
            part: list[int] = rows[start : start + size].tolist()
            names = [ids[row] for row in part]
            for i, stored in enumerate(await index.get(names)):
                if stored is None or stored.embedding is None or names[i] == own:
                    continue
                score = None if embedding is None else float(embedding @ stored.embedding)
                found.append((part[i], start + i, score))
            start, size = start + size, 2 * size
        return found[:count]

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


def _foretell(
    fitted: FittedGeneration,
    shown: Shown,
    embedding: NDArray[np.float32],
    own: int | None,
    least: float,
) -> _Foretold:
    near = fitted.near(embedding, own, least)
    if near is None:
        return _NOTHING
    predicted = fitted.predict(embedding, near, shown.coverage, shown.modalities_used)
    return _Foretold(near, predicted, fitted.vote(near, least))


def _incomplete(missing: list[Missing], behind: str | None) -> str | None:
    if missing:
        return f"not ready by deadline_ms: {', '.join(missing)}"
    return behind
