"""Similar streamers of one or many seeds, wanted and unwanted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from model_export.contract.calibration import Curve
from model_export.contract.streamer import StreamerProfile
from service.errors import FieldError, InvalidRequest, StreamerNotFound
from service.index.base import Hit, Row, Scorer, VectorIndex
from service.index.filters import Filter
from service.retrieval.explain import Explainer, Reasons, Side
from service.retrieval.follower import Follower
from service.retrieval.precision import Precision, Threshold, precision_from
from service.retrieval.profiles import Profiles
from service.retrieval.reader import ToRead
from service.retrieval.searches import Searches

Strategy = Literal["average", "best_score", "sum"]


@dataclass(frozen=True, eq=False)
class Seed:
    """One example: exactly one of `streamer_id`, `profile`, `vector` (D,); `weight` > 0."""

    streamer_id: str | None = None
    profile: StreamerProfile | None = None
    vector: Sequence[float] | None = None
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class SimilarQuery:
    """What is asked for; see the API for the meaning of each field.

    At most one of `min_score` and `min_precision` is given.
    """

    positive: Sequence[Seed]
    negative: Sequence[Seed] = ()
    strategy: Strategy = "average"
    k: int = 10
    min_score: float | None = None
    min_precision: float | None = None
    filter: Filter = field(default_factory=Filter)
    explain: bool = False
    exact: bool = False
    after_sequence: int = 0


@dataclass(frozen=True)
class SimilarHit:
    """One streamer of the answer.

    `precision` is the estimated share of right ones among all that score at least as much; None
    where the model's calibration does not tell.
    """

    streamer_id: str
    score: float
    precision: float | None
    rank: int
    reasons: Reasons | None


@dataclass(frozen=True)
class SimilarAnswer:
    """The answer; `incomplete_because` says what is missing, None when nothing is.

    `exact`: every streamer that may be in it was looked at.
    `threshold` is what `min_precision` came to, None where it was not asked for.
    """

    hits: Sequence[SimilarHit]
    threshold: Threshold | None
    incomplete_because: str | None
    exact: bool
    index_sequence: int


@dataclass(frozen=True, eq=False)
class _ResolvedSeed:
    side: Side
    weight: float
    modalities_used: int | None  # None where that is not known

    @property
    def embedding(self) -> NDArray[np.float32]:
        return self.side.embedding  # (D,), unit length


class Similar:
    """The use-case behind `GET /v1/streamers/{id}/similar` and `POST /v1/similar`."""

    def __init__(
        self,
        follower: Follower,
        searches: Searches,
        profiles: Profiles,
        explainer: Explainer,
        dim: int,
        precision: Precision,
        visible_timeout_ms: int,
    ) -> None:
        """Search the follower's index; embeddings have `dim` numbers."""
        self._follower = follower
        self._searches = searches
        self._profiles = profiles
        self._explainer = explainer
        self._dim = dim
        self._precision = precision
        self._visible_timeout_ms = visible_timeout_ms

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
        await self._follower.wait_for(query.after_sequence, self._visible_timeout_ms)
        index = self._follower.index
        positive, negative = await self._resolve(index, query)
        curves, threshold = self._calibrated(query, positive)
        min_score = query.min_score if threshold is None else threshold.min_score
        exclude = {s.streamer_id for s in (*query.positive, *query.negative) if s.streamer_id}
        seeds = np.stack([s.embedding for s in (*positive, *negative)])  # (Q, D)
        if query.strategy == "average":
            seeds, scorer = _average(seeds, positive, negative)
        elif query.strategy == "best_score":
            scorer = _best_score(len(positive))
        else:
            scorer = _sum(positive, negative)
        sequence = self._follower.sequence  # what is searched is this or newer
        missing = [self._follower.behind_because]
        found = await self._searches.search(
            index,
            seeds,
            scorer,
            query.k,
            exclude=exclude,
            min_score=min_score,
            wanted=query.filter,
            exact=query.exact,
        )
        reasons: Sequence[Reasons | None] = [None] * len(found.hits)
        if query.explain:
            reasons = await self._explain(index, found.hits, positive)
        hits = [
            SimilarHit(hit.streamer_id, hit.score, precision_from(hit.score, curves), rank, why)
            for rank, (hit, why) in enumerate(zip(found.hits, reasons, strict=True), start=1)
        ]
        if min_score is not None and found.reached > len(hits):
            limit = "min_score" if threshold is None else "min_precision"
            missing.append(f"{found.reached} streamers reach {limit}, k is {query.k}")
        why = "; ".join(reason for reason in missing if reason) or None
        return SimilarAnswer(hits, threshold, why, found.exact, sequence)

    def _calibrated(
        self, query: SimilarQuery, positive: Sequence[_ResolvedSeed]
    ) -> tuple[Sequence[Curve], Threshold | None]:
        """What is known of the precision of the scores, and the score for `min_precision`.

        It was measured on the cosine with one streamer, so nothing is known of other scores.
        """
        is_cosine = len(positive) == 1 or query.strategy == "best_score"
        if query.negative or not is_cosine:
            if query.min_precision is None:
                return (), None
            raise InvalidRequest.of(
                "/min_precision",
                "is known for the cosine with one streamer: ask with one positive seed or with "
                "strategy best_score, and without negative seeds; or use min_score",
            )
        curves = self._precision.curves([seed.modalities_used for seed in positive])
        if query.min_precision is None:
            return curves, None
        return curves, self._precision.threshold(query.min_precision, curves)

    async def _explain(
        self, index: VectorIndex, hits: Sequence[Hit], positive: Sequence[_ResolvedSeed]
    ) -> list[Reasons | None]:
        """By the nearest of the wanted seeds; None of a hit that was deleted since."""
        seeds = np.stack([s.embedding for s in positive])  # (Q, D)
        rows = index.get([hit.streamer_id for hit in hits])
        sides = [None if row is None else Side.of(row) for row in rows]
        pairs = [
            (positive[int((seeds @ hit.embedding).argmax())].side, hit)
            for hit in sides
            if hit is not None
        ]
        reasons = iter(await self._explainer.reasons(pairs))
        return [None if hit is None else next(reasons) for hit in sides]

    async def _resolve(
        self, index: VectorIndex, query: SimilarQuery
    ) -> tuple[list[_ResolvedSeed], list[_ResolvedSeed]]:
        """Wanted and unwanted seeds as vectors; all that are unknown are named together."""
        seeds = [(f"/positive/{i}", seed) for i, seed in enumerate(query.positive)]
        seeds += [(f"/negative/{i}", seed) for i, seed in enumerate(query.negative)]
        rows = index.get([seed.streamer_id or "" for _, seed in seeds])
        missing = [
            FieldError(f"{where}/streamer_id", f"streamer {seed.streamer_id!r} is not stored")
            for (where, seed), row in zip(seeds, rows, strict=True)
            if seed.streamer_id is not None and row is None
        ]
        if missing:
            raise StreamerNotFound("; ".join(e.detail for e in missing), missing)
        resolved = [
            await self._resolve_one(seed, row, where)
            for (where, seed), row in zip(seeds, rows, strict=True)
        ]
        return resolved[: len(query.positive)], resolved[len(query.positive) :]

    async def _resolve_one(self, seed: Seed, row: Row | None, pointer: str) -> _ResolvedSeed:
        if seed.vector is not None:
            vector = Side(pointer, self._unit(seed.vector, pointer), None, {})
            return _ResolvedSeed(vector, seed.weight, None)
        if seed.profile is not None:
            item = await self._profiles.encode(ToRead(seed.profile, f"{pointer}/profile"))
            if item.encoded is None:
                raise InvalidRequest.of(
                    f"{pointer}/profile", "shows nothing that the model can use (no vector)"
                )
            facets = {
                "tags": item.profile.tags,
                "category": item.profile.category,
                "language": item.profile.language,
            }
            encoded = item.encoded
            side = Side(pointer, encoded.embedding, encoded.content, facets, profile=item)
            return _ResolvedSeed(side, seed.weight, item.features.modalities_used)
        stored = None if row is None else Side.of(row)
        if stored is None:
            raise InvalidRequest.of(
                f"{pointer}/streamer_id",
                f"streamer {seed.streamer_id!r} shows nothing that the model can use, so nothing "
                "is similar to it (status insufficient_content)",
            )
        return _ResolvedSeed(stored, seed.weight, _modalities_used(stored.facets))

    def _unit(self, vector: Sequence[float], pointer: str) -> NDArray[np.float32]:
        if len(vector) != self._dim:
            raise InvalidRequest.of(
                f"{pointer}/vector", f"has {len(vector)} numbers, the model has {self._dim}"
            )
        values = np.asarray(vector, np.float64)
        largest = float(np.abs(values).max())
        if largest < 1e-30:
            raise InvalidRequest.of(f"{pointer}/vector", "has length zero, so it has no direction")
        values /= largest  # so that no square overflows
        return (values / np.linalg.norm(values)).astype(np.float32)


def _modalities_used(facets: Mapping[str, object]) -> int | None:
    """How many modalities a stored streamer shows; unknown of those that an old release wrote."""
    found = facets.get("modalities_used")
    return found if isinstance(found, int) else None


def _average(
    seeds: NDArray[np.float32],
    positive: Sequence[_ResolvedSeed],
    negative: Sequence[_ResolvedSeed],
) -> tuple[NDArray[np.float32], Scorer | None]:
    """Cosine with the mean of the wanted seeds, minus that with the mean of the unwanted ones.

    The two means are scored apart and never added up to one vector, which could vanish.
    """
    wanted = _mean(seeds[: len(positive)], positive)
    if not negative:
        return wanted[None, :], None
    unwanted = _mean(seeds[len(positive) :], negative)
    return np.stack([wanted, unwanted]), lambda cosines: (cosines[0] - cosines[1]) / 2


def _mean(vectors: NDArray[np.float32], seeds: Sequence[_ResolvedSeed]) -> NDArray[np.float32]:
    """Weighted mean (D,) of unit vectors, of unit length again; of opposite ones, the heaviest."""
    weights = np.array([s.weight for s in seeds], np.float32)
    mean = weights @ vectors / weights.sum()
    norm = float(np.linalg.norm(mean))
    return vectors[int(weights.argmax())] if norm < 1e-3 else (mean / norm).astype(np.float32)


def _best_score(positives: int) -> Scorer:
    """The best cosine with a wanted seed; if an unwanted one is nearer, minus that cosine."""

    def combine(cosines: NDArray[np.float32]) -> NDArray[np.float32]:
        best = cosines[:positives].max(axis=0)  # (N,)
        if positives == len(cosines):
            return best
        worst = cosines[positives:].max(axis=0)
        return cast(NDArray[np.float32], np.where(worst > best, -worst, best))

    return combine


def _sum(positive: Sequence[_ResolvedSeed], negative: Sequence[_ResolvedSeed]) -> Scorer:
    """Weighted sum of the cosines, unwanted ones subtracted, over the sum of all weights."""
    weights = np.array([s.weight for s in positive] + [-s.weight for s in negative], np.float32)
    weights /= np.abs(weights).sum()
    return lambda cosines: weights @ cosines
