"""Team-draft interleaving of two rankings, and credit by what people rated.

Radlinski, Kurup and Joachims 2008, "How does clickthrough data reflect retrieval quality?": in each
round either ranking picks its best streamer that is not picked yet, in an order drawn anew. Who
rates the list can't tell which ranking a streamer is from, so both are judged by the same eyes.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from service.features.ratings.ndcg import MOST_RATING

Team = Literal[0, 1]


class Pick(NamedTuple):
    """A streamer of an interleaved list, and the ranking that picked it."""

    streamer_id: str
    team: Team


class Credit(NamedTuple):
    """What ratings give to the two rankings.

    Attributes:
        gains: of each ranking: the sum of its picks' ratings, each from 0 to 1.
        judged: how many picks were rated.
        picks: how many there are.
    """

    gains: tuple[float, float]
    judged: int
    picks: int

    @property
    def difference(self) -> float:
        """How much more the second ranking has, per pick."""
        return (self.gains[1] - self.gains[0]) / max(self.picks, 1)

    @property
    def coverage(self) -> float:
        """Share of the picks that were rated."""
        return self.judged / self.picks if self.picks else 1.0


def team_draft(
    first: Sequence[str], second: Sequence[str], k: int, drawn: random.Random
) -> list[Pick]:
    """An interleaved list of up to `k` streamers, each once.

    Args:
        first: ids, best first.
        second: likewise.
        k: length of the list.
        drawn: decides who picks first in each round.
    """
    rankings = (first, second)
    picked: dict[str, Team] = {}
    while len(picked) < k:
        before = len(picked)
        order: tuple[Team, Team] = (0, 1) if drawn.random() < 0.5 else (1, 0)
        for team in order:
            best = next((name for name in rankings[team] if name not in picked), None)
            if best is not None and len(picked) < k:
                picked[best] = team
        if len(picked) == before:
            break
    return [Pick(name, team) for name, team in picked.items()]


def credit(picks: Sequence[Pick], ratings: Mapping[str, float]) -> Credit:
    """What ratings from 0 to `MOST_RATING` give to the two rankings; unrated picks give nothing."""
    gains = [0.0, 0.0]
    judged = 0
    for name, team in picks:
        if name in ratings:
            judged += 1
            gains[team] += ratings[name] / MOST_RATING
    return Credit((gains[0], gains[1]), judged, len(picks))
