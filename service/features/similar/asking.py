"""Questions for similar streamers, made ready for the index: seeds, filter, thresholds."""

import json
import math
from collections.abc import Collection, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import chain

import numpy as np

from model_export.contract.calibration import Curve
from service.engine.replica.follower import Follower
from service.engine.scoring.precision import Precision, Threshold
from service.errors import InvalidRequest
from service.features.similar.seeds import ResolvedSeed, Seed, Seeds
from service.index.base import VectorIndex
from service.index.filters import EVERYONE, Filter, Unknown
from service.index.query import EQUAL, Query, ScoringSpec, Strategy

_MOST_VALUES = 10
"""That a warning names."""


@dataclass(frozen=True, eq=False)
class SimilarQuery:
    """What is asked for; see the API for the meaning of each field.

    At most one of `min_score` and `min_precision` is given, unless `cuts` is False.

    Attributes:
        exclude: ids of streamers that are left out, beside those of seeds.
        cuts: whether whoever scores too little for `min_precision` is left out; else the threshold
            is told alone.
    """

    positive: Sequence[Seed]
    negative: Sequence[Seed] = ()
    strategy: Strategy = "average"
    k: int = 10
    min_score: float | None = None
    min_precision: float | None = None
    filter: Filter = EVERYONE
    explain: bool = False
    exact: bool = False
    after_sequence: int = 0
    exclude: Set[str] = frozenset()
    cuts: bool = True

    @property
    def has_vectors(self) -> bool:
        """Whether a seed is a vector, which means something to the model that made it alone."""
        return any(seed.vector is not None for seed in (*self.positive, *self.negative))

    @property
    def has_profiles(self) -> bool:
        """Whether a seed is a profile, which has to be read."""
        return any(seed.profile is not None for seed in (*self.positive, *self.negative))

    @property
    def is_plain(self) -> bool:
        """Whether it is for the nearest of one stored streamer, and nothing else."""
        more = self.negative or self.filter or self.explain or self.exact
        is_one = len(self.positive) == 1 and self.positive[0].streamer_id is not None
        is_cosine = self.strategy == "average" and self.min_score is self.min_precision is None
        return is_one and is_cosine and not more


class Excluded(Collection[str]):
    """Seeds, and whom a question leaves out beside them: there may be a million, so no copy."""

    def __init__(self, seeds: Set[str], others: Set[str]) -> None:
        """Both; who is in both counts once."""
        self._seeds = [seed for seed in seeds if seed not in others]
        self._others = others

    def __contains__(self, streamer_id: object) -> bool:
        """Whether somebody is left out."""
        return streamer_id in self._others or streamer_id in self._seeds

    def __iter__(self) -> Iterator[str]:
        """Everybody who is left out, once."""
        return chain(self._seeds, self._others)

    def __len__(self) -> int:
        """How many are left out."""
        return len(self._seeds) + len(self._others)


@dataclass(frozen=True, eq=False)
class Asked:
    """What a question comes to, and the index to be asked.

    Attributes:
        index: that answers it.
        sequence: of that index; what is searched is this or newer.
        epoch: of the store's history that it is of; None while that is not known.
        behind: what is missing of it; None when nothing is.
        positive: the wanted seeds.
        query: for the index.
        curves: what is known of the precision of the scores.
        threshold: the score for `min_precision`.
        coverage: the lowest of the wanted seeds.
        withheld: why nothing is promised of the precision.
    """

    index: VectorIndex
    sequence: int
    epoch: str | None
    behind: str | None
    positive: Sequence[ResolvedSeed]
    query: Query
    curves: Sequence[Curve]
    threshold: Threshold | None
    coverage: float | None
    withheld: str | None


class Asking:
    """Resolves seeds, and finds what the calibration says of their scores."""

    def __init__(
        self, follower: Follower, seeds: Seeds, precision: Precision, visible_timeout_ms: int
    ) -> None:
        """Ask the follower's index."""
        self._follower = follower
        self._seeds = seeds
        self._precision = precision
        self._visible_timeout_ms = visible_timeout_ms

    async def ask(self, query: SimilarQuery) -> Asked:
        """What a question comes to, and the index to be asked.

        Raises:
            StreamerNotFound: names every seed that is not stored.
            InvalidRequest: a seed has no vector, or a vector of the wrong width or length zero; or
                `min_precision` is asked of scores that are no cosine with one seed.
            PrecisionNotPromised: the model's calibration can't promise `min_precision`.
            NotYetVisible: `after_sequence` was not reached in time.
        """
        await self._follower.wait_for(query.after_sequence, self._visible_timeout_ms)
        positive, negative = await self._seeds.resolve(
            self._follower.index, query.positive, query.negative
        )
        coverage = min(
            (s.shown.coverage for s in positive if s.shown.coverage is not None), default=None
        )
        withheld = self._precision.withheld_because(coverage)
        curves, threshold = self._calibrated(query, positive, withheld is not None)
        min_score = query.min_score
        if min_score is not None:
            min_score = min(min_score, EQUAL)
        if query.min_precision is not None and query.cuts:
            # Where nothing is promised, nothing reaches it.
            min_score = math.inf if threshold is None else threshold.min_score
        scoring = ScoringSpec(
            np.stack([s.embedding for s in (*positive, *negative)]),  # (S, D)
            [*(s.weight for s in positive), *(-s.weight for s in negative)],
            query.strategy,
        )
        if negative and not scoring.has_direction:
            raise InvalidRequest.of(
                "/negative", "takes away all that positive shows: everybody would score 0"
            )
        complete = self._follower.complete
        return Asked(
            index=self._follower.index,
            sequence=self._follower.sequence,  # what is searched is this or newer
            epoch=None if complete is None else complete[1].epoch,
            behind=self._follower.behind_because,
            positive=positive,
            query=Query(
                scoring,
                query.k,
                exclude=Excluded(
                    {s.streamer_id for s in (*query.positive, *query.negative) if s.streamer_id},
                    query.exclude,
                ),
                min_score=min_score,
                filter=query.filter,
                exact=query.exact,
            ),
            curves=curves,
            threshold=threshold,
            coverage=coverage,
            withheld=withheld,
        )

    def _calibrated(
        self, query: SimilarQuery, positive: Sequence[ResolvedSeed], is_withheld: bool
    ) -> tuple[Sequence[Curve], Threshold | None]:
        """What is known of the precision of the scores, and the score for `min_precision`.

        It was measured on the cosine with one streamer, so nothing is known of other scores; nor
        of seeds that show too little of what the model knows.
        """
        is_cosine = len(positive) == 1 or query.strategy == "best_score"
        if query.negative or not is_cosine:
            if query.min_precision is None:
                return (), None
            raise InvalidRequest.of(
                "/min_precision",
                "works only with one positive seed, or strategy best_score, and no negative seeds; "
                "otherwise use min_score",
            )
        curves = self._precision.curves([seed.shown for seed in positive])
        if query.min_precision is None or is_withheld:
            return curves, None
        return curves, self._precision.threshold(query.min_precision, curves)


def warnings_of(unknown: Unknown, withheld: str | None) -> list[str]:
    """What the caller may have got wrong, and why no precision is promised."""
    found = [f"filter: no stored streamer has the field {name!r}" for name in unknown.fields]
    for field, value in unknown.values[:_MOST_VALUES]:
        shown = json.dumps(value, ensure_ascii=False)
        found.append(f"filter: no stored streamer has {shown} in the field {field!r}")
    if (more := len(unknown.values) - _MOST_VALUES) > 0:
        found.append(f"filter: no stored streamer has {more:,} more of the values")
    return found if withheld is None else [*found, withheld]
