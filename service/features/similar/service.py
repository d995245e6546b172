"""Similar streamers of one or many seeds, wanted and unwanted."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from service.engine.replica.follower import Follower
from service.engine.scoring.precision import (
    Precision,
    Shown,
    Threshold,
    cosine_shown,
    precision_from,
)
from service.errors import InvalidRequest
from service.features.similar.asking import Asking, SimilarQuery, warnings_of
from service.features.similar.explain import Explainer, Reasons, Side
from service.features.similar.pages import Pages, Pinned
from service.features.similar.seeds import ResolvedSeed, Seeds
from service.index.base import Hit, VectorIndex
from service.index.filters import ALL_KNOWN
from service.index.query import Query, ScoringSpec


@dataclass(slots=True)
class SimilarHit(Hit):
    """One streamer of the answer.

    Attributes:
        precision: estimated share of right ones among all that score at least as much; None where
            the model's calibration does not tell.
        rank: place in the answer, from 1 on.
        reasons: why it is in the answer, where that was asked for.
    """

    precision: float | None
    rank: int
    reasons: Reasons | None = None


class SimilarAnswer(NamedTuple):
    """The answer to a question.

    Attributes:
        hits: best first.
        threshold: the score for `min_precision`; None where it was not asked for.
        incomplete_because: what is missing; None when nothing is.
        exact: whether every streamer that may be in it was looked at.
        index_sequence: of the index that was searched.
        reached: how many reach the score; None where none was asked for.
        next_cursor: to the page that follows, if any.
        warnings: what the caller may have got wrong, and why no precision is promised.
        coverage: the lowest of the positive seeds; None where none is known.
        model_version: of the model that made a page's answer, if that may be another one.
    """

    hits: Sequence[SimilarHit]
    threshold: Threshold | None
    incomplete_because: str | None
    exact: bool
    index_sequence: int
    reached: int | None
    next_cursor: str | None = None
    warnings: Sequence[str] = ()
    coverage: float | None = None
    model_version: str = ""


class Similar:
    """The use-case behind `GET /v1/streamers/{id}/similar` and `POST /v1/similar`."""

    def __init__(
        self,
        follower: Follower,
        seeds: Seeds,
        explainer: Explainer,
        precision: Precision,
        pages: Pages,
        model_version: str,
        visible_timeout_ms: int,
    ) -> None:
        """Search the follower's index; `asking` makes questions ready, `explainer` has reasons."""
        self.model_version = model_version
        self._follower = follower
        self._seeds = seeds
        self.explainer = explainer
        self._precision = precision
        self._pages = pages
        self._visible_timeout_ms = visible_timeout_ms
        self.asking = Asking(follower, seeds, precision, visible_timeout_ms)

    @property
    def sequence(self) -> int:
        """The last write that the index has applied."""
        return self._follower.sequence

    async def search(self, query: SimilarQuery) -> SimilarAnswer:
        """Find the nearest streamers; seeds are never in the answer.

        Raises:
            StreamerNotFound: names every seed that is not stored.
            InvalidRequest: a seed has no vector, or a vector of the wrong width or length zero; or
                `min_precision` is asked of scores that are no cosine with one seed.
            PrecisionNotPromised: the model's calibration can't promise `min_precision`.
            NotYetVisible: `after_sequence` was not reached in time.
            StoreUnavailable: reasons are asked for, and the store does not answer.
            Overloaded: too many searches wait already, or the deadline passed.
        """
        if query.is_plain:
            await self._follower.wait_for(query.after_sequence, self._visible_timeout_ms)
            answer = await self.nearest(str(query.positive[0].streamer_id), query.k)
            if answer is not None:
                return answer
        asked = await self.asking.ask(query)
        found = await asked.index.search(asked.query)
        reasons: Sequence[Reasons | None] = [None] * len(found.hits)
        if query.explain:
            reasons = await self._explain(asked.index, found.hits, asked.positive)
        hits = [
            SimilarHit(
                hit.streamer_id,
                cosine_shown(hit.score),
                precision_from(hit.score, asked.curves),
                rank,
                why,
            )
            for rank, (hit, why) in enumerate(zip(found.hits, reasons, strict=True), start=1)
        ]
        why = asked.behind
        has_limit = asked.query.min_score is not None
        if has_limit and found.reached > len(hits):
            limit = "min_score" if asked.threshold is None else "min_precision"
            cut = f"{found.reached} streamers reach {limit}, k is {query.k}"
            why = cut if why is None else f"{why}; {cut}"
        return SimilarAnswer(
            hits,
            asked.threshold,
            why,
            found.exact,
            asked.sequence,
            found.reached if has_limit else None,
            warnings=warnings_of(found.unknown, asked.withheld),
            coverage=asked.coverage,
        )

    async def nearest(
        self, seed: str | Sequence[float], k: int, after_sequence: int = 0
    ) -> SimilarAnswer | None:
        """The k nearest of a stored streamer or of a vector (D,).

        None where there is an error to report, or a write to wait for: `search` does it.

        Raises:
            Overloaded: too many searches wait already, or the deadline passed.
        """
        follower = self._follower
        if not follower.is_ready:
            return None
        index, sequence, behind = follower.index, follower.sequence, follower.behind_because
        if not follower.has(after_sequence):
            return None
        if isinstance(seed, str):
            stored = await index.vector(seed)
            if stored is None or stored.embedding is None:
                return None
            vector, exclude = stored.embedding, (seed,)
            shown = Shown(stored.modalities_used, stored.coverage)
        else:
            try:
                vector, exclude, shown = self._seeds.unit(seed, ""), (), Shown()
            except InvalidRequest:
                return None
        found = await index.search(Query(ScoringSpec.nearest(vector), k, exclude))
        curves = self._precision.curves((shown,))
        hits = [
            SimilarHit(
                hit.streamer_id,
                cosine_shown(hit.score),
                precision_from(hit.score, curves) if curves else None,
                rank,
            )
            for rank, hit in enumerate(found.hits, start=1)
        ]
        return SimilarAnswer(
            hits,
            None,
            behind,
            found.exact,
            sequence,
            None,
            warnings=warnings_of(ALL_KNOWN, self._precision.withheld_because(shown.coverage)),
            coverage=shown.coverage,
        )

    async def search_all(self, query: SimilarQuery) -> SimilarAnswer:
        """Find everyone who reaches the query's score: the first `k`, and a cursor to the others.

        Raises:
            InvalidRequest: as `search`; or it asks for no score, or for reasons.
            ServiceError: as `search`.
        """
        pinned = await self._everyone(query)
        following = self._pages.pin(pinned) if len(pinned.ids) > query.k else None
        return _page(pinned, 0, following, [True] * query.k)

    async def export(self, query: SimilarQuery) -> AsyncGenerator[SimilarAnswer, None]:
        """Find everyone who reaches the query's score; all of them, `k` at a time.

        One answer at least; as pages, they are of the moment of the question. Raises as
        `search_all`, before the first is given.
        """
        pinned = await self._everyone(query)
        return self._parts(pinned)

    async def _parts(self, pinned: Pinned) -> AsyncGenerator[SimilarAnswer, None]:
        for start in range(0, max(len(pinned.ids), 1), pinned.page_size):
            yield _page(pinned, start, None, await self._are_stored(pinned, start))

    async def _everyone(self, query: SimilarQuery) -> Pinned:
        asked = await self.asking.ask(query)
        if asked.query.min_score is None:
            raise InvalidRequest.of("/pages", "needs min_score or min_precision")
        if query.explain:
            raise InvalidRequest.of("/pages", "cannot be combined with explain")
        found = await asked.index.matches(asked.query)
        return Pinned(
            found.ids,
            found.scores,
            query.k,
            asked.curves,
            asked.threshold,
            asked.behind,
            asked.sequence,
            warnings_of(found.unknown, asked.withheld),
            asked.coverage,
            self.model_version,
        )

    async def next_page(self, cursor: str) -> SimilarAnswer:
        """What follows in an answer of `search_all`.

        It is of the moment of the question; only who was deleted since is left out.

        Raises:
            CursorExpired: the answer is not kept any more.
            NotReady: there is no index.
            Overloaded: too many searches wait already, or the deadline passed.
        """
        pinned, start, following = self._pages.at(cursor)
        return _page(pinned, start, following, await self._are_stored(pinned, start))

    async def _are_stored(self, pinned: Pinned, start: int) -> list[bool]:
        """Who of a page is stored still."""
        ids = pinned.ids[start : start + pinned.page_size]
        rows = await self._follower.index.get(ids)
        return [row is not None for row in rows]

    async def _explain(
        self, index: VectorIndex, hits: Sequence[Hit], positive: Sequence[ResolvedSeed]
    ) -> list[Reasons | None]:
        """By the nearest of the wanted seeds; None of a hit that was deleted since."""
        seeds = np.stack([s.embedding for s in positive])  # (Q, D)
        rows = await index.get([hit.streamer_id for hit in hits])
        sides = [None if row is None else Side.of(row) for row in rows]
        pairs = [
            (positive[int((seeds @ hit.embedding).argmax())].side, hit)
            for hit in sides
            if hit is not None
        ]
        reasons = iter(await self.explainer.reasons(pairs))
        return [None if hit is None else next(reasons) for hit in sides]


def _page(
    pinned: Pinned, start: int, following: str | None, is_stored: Sequence[bool]
) -> SimilarAnswer:
    """One page, without those of it that are not stored any more."""
    ids = pinned.ids[start : start + pinned.page_size]
    scores: list[float] = pinned.scores[start : start + pinned.page_size].tolist()
    hits = [
        SimilarHit(name, cosine_shown(score), precision_from(score, pinned.curves), rank)
        for rank, (name, score, stored) in enumerate(
            zip(ids, scores, is_stored, strict=False), start=start + 1
        )
        if stored
    ]
    return SimilarAnswer(
        hits,
        pinned.threshold,
        pinned.incomplete_because,
        True,
        pinned.sequence,
        len(pinned.ids),
        following,
        pinned.warnings,
        pinned.coverage,
        pinned.model_version,
    )
