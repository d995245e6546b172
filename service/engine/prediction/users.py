"""The users most likely interested in a streamer, by inner product with its vector."""

from collections.abc import Callable, Collection, Sequence
from copy import copy
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.engine.prediction.inner_products import Allowed, Found, InnerProductIndex
from service.engine.spaces.array_file import Keep
from service.engine.spaces.generation import Generation
from service.engine.spaces.row_vectors import RowVectors
from service.engine.spaces.user_attributes import UserAttributes
from service.index.filters import EVERYONE, Filter

_PROBES = 64
_MOST = 1000
"""Users of a question that codes answer; for more, all are looked at."""
_SPARE = 64
"""So many more are answered by codes, since some may be excluded."""
_MORE = 16
"""So many more than twice as many as wanted are looked up first: some may be excluded."""
_FILTERS = 4
"""Filters whose users are remembered: a byte of each user."""


class ScoredUser(NamedTuple):
    """A user and the inner product of its vector with the streamer's."""

    user_id: str
    score: float


class UserIndex:
    """Users of a generation by vector: all are looked at up to 100,000, FAISS's codes beyond."""

    def __init__(
        self,
        user_ids: Sequence[str],
        user_vectors: RowVectors,
        streamers: NDArray[np.float32],
        seed: int = 0,
        tick: Callable[[], None] = lambda: None,
        attributes: UserAttributes | None = None,
    ) -> None:
        """Build the index.

        Args:
            user_ids: of the rows.
            user_vectors: (m, E), with their norms; not copied.
            streamers: (n, E) own vectors of streamers, of which some measure the recall.
            seed: of their choice.
            tick: called now and then; may raise to end the work.
            attributes: of the users, by which they are filtered.
        """
        self._attributes = attributes
        self._allowed: dict[str, Allowed] = {}  # by filter, those that were asked for last
        rng = np.random.default_rng(seed)
        some = rng.permutation(len(streamers))[:_PROBES]
        self._ids = user_ids
        self._index = InnerProductIndex(
            user_vectors, streamers[np.sort(some)], most=_MOST + _SPARE, tick=tick
        )

    def kept(self, generation: Generation, keep: Keep) -> "UserIndex":
        """A copy with its arrays elsewhere, as those of `generation` are already."""
        made = copy(self)
        made._ids, made._attributes = generation.user_ids, generation.user_attributes
        made._index = self._index.kept(generation.user_vectors, keep)
        made._allowed = {}
        return made

    @property
    def recall(self) -> float:
        """Share of the exact answer that is found, as measured."""
        return self._index.recall

    @property
    def cost_ms(self) -> float:
        """What a search is expected to take of one core."""
        return self._index.cost_ms

    def __len__(self) -> int:
        return len(self._ids)

    def search(
        self,
        vector: NDArray[np.float32],
        k: int,
        *,
        exclude: Sequence[Collection[str]] = (),
        min_score: float | None = None,
        wanted: Filter = EVERYONE,
    ) -> list[ScoredUser]:
        """The best users for a streamer's vector (E,), best first.

        Args:
            vector: of the streamer, in the same generation.
            k: how many at most.
            exclude: sets of users that are left out; unknown ids change nothing.
            min_score: lowest score.
            wanted: by attributes, those that may be among them.
        """
        allowed = self._let_through(wanted) if wanted else None
        count = len(self) if allowed is None else allowed.count
        enough = k + sum(map(len, exclude))  # so many can't all be excluded
        steps = {min(2 * k + _MORE, enough), enough}
        if k <= (quick := self._index.most):
            steps = {min(step, quick) for step in steps} | {enough}
        found: list[ScoredUser] = []
        for step in sorted(steps):
            best = self._index.search(vector, step, allowed)
            found = self._among(best, k, exclude, min_score)
            is_all = step >= count or (min_score is not None and best[1][-1] < min_score)
            if len(found) == k or is_all:
                break
        return found

    def unknown(self, wanted: Filter) -> list[str]:
        """Fields of a filter that no user has, each once, in the filter's order."""
        return (self._attributes or UserAttributes(0)).unknown(wanted)

    def _let_through(self, wanted: Filter) -> Allowed:
        """Users that a filter lets through; the last few filters are remembered."""
        key = repr(wanted)
        if (known := self._allowed.get(key)) is not None:
            return known
        attributes = self._attributes or UserAttributes(len(self))
        found = Allowed(attributes.mask(wanted))
        # Another thread may do the same: each replaces the whole, which nobody changes.
        newest = [*self._allowed.items(), (key, found)][-_FILTERS:]
        self._allowed = dict(newest)
        return found

    def _among(
        self,
        best: Found,
        k: int,
        exclude: Sequence[Collection[str]],
        min_score: float | None,
    ) -> list[ScoredUser]:
        users: list[ScoredUser] = []
        rows: list[int] = best[0].tolist()
        scores: list[float] = best[1].tolist()
        for row, score in zip(rows, scores, strict=True):
            if len(users) == k or (min_score is not None and score < min_score):
                break
            user_id = self._ids[row]
            if not any(user_id in some for some in exclude):
                users.append(ScoredUser(user_id, score))
        return users
