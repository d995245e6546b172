"""The users most likely interested in a streamer, by inner product with its vector."""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.engine.prediction.inner_products import Found, InnerProductIndex

_PROBES = 64
_MOST = 256
"""Users of a question that codes answer; for more, all are looked at."""
_MORE = 16
"""So many more than twice as many as wanted are looked up first: some may be excluded."""


class ScoredUser(NamedTuple):
    """A user and the inner product of its vector with the streamer's."""

    user_id: str
    score: float


class UserIndex:
    """Users of a generation by vector: all are looked at up to 100,000, FAISS's codes beyond."""

    def __init__(
        self,
        user_ids: Sequence[str],
        user_vectors: NDArray[np.float32],
        streamers: NDArray[np.float32],
        seed: int = 0,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        """Build the index.

        Args:
            user_ids: of the rows.
            user_vectors: (m, E), with their norms; not copied.
            streamers: (n, E) own vectors of streamers, of which some measure the recall.
            seed: of their choice.
            tick: called now and then; may raise to end the work.
        """
        rng = np.random.default_rng(seed)
        some = rng.permutation(len(streamers))[:_PROBES]
        self._ids = user_ids
        self._index = InnerProductIndex(
            user_vectors, streamers[np.sort(some)], most=_MOST, tick=tick
        )

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
    ) -> list[ScoredUser]:
        """The best users for a streamer's vector (E,), best first.

        Args:
            vector: of the streamer, in the same generation.
            k: how many at most.
            exclude: sets of users that are left out; unknown ids change nothing.
            min_score: lowest score.
        """
        few = 2 * k + _MORE if any(exclude) else k
        best = self._index.search(vector, few)
        found = self._among(best, k, exclude, min_score)
        is_all = few >= len(self) or (min_score is not None and best[1][-1] < min_score)
        if len(found) == k or is_all:
            return found
        most = k + sum(map(len, exclude))  # so many can't all be excluded
        if most <= few:
            return found
        return self._among(self._index.search(vector, most), k, exclude, min_score)

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
