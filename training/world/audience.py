"""Simulation of users and their views.

A user has up to three interests and mostly watches streamers of one of them, of a sibling interest
in the topic, of a befriended interest elsewhere in the hierarchy, of the domain, or popular
streamers. Friendships between interests, and audiences across languages, appear in no text: they
can be learned from interactions only.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

USERS_PER_STREAMER = 2.0
_VIEWS_MEDIAN, _VIEWS_SPREAD, _VIEWS_MIN, _VIEWS_MAX = 25, 0.6, 5, 300
_OWN, _SIBLING, _FRIEND, _DOMAIN = 0.20, 0.47, 0.18, 0.07  # the rest: popular streamers
_BILINGUAL_SHARE, _BILINGUAL_OWN, _MONOLINGUAL_OWN = 0.4, 0.55, 0.88
_SECOND_INTEREST_WEIGHT = 0.4


@dataclass(frozen=True, eq=False)
class Audience:
    """Interactions sorted by user: arrays (P,) of users, streamers and view counts."""

    user: NDArray[np.int64]
    streamer: NDArray[np.int64]
    views: NDArray[np.int64]
    users: int


@dataclass(frozen=True, eq=False)
class Crowd:
    """Inputs of the simulation, per streamer (N,) and per interest (I,).

    Attributes:
        interest: (N,), main interest.
        second_interest: (N,), second interest, -1 for none.
        language: (N,), 0 or 1.
        popularity: (N,), relative size of the audience.
        topic, domain: (I,), numbers of the parent levels, contiguous.
        size: (I,), frequency of an interest.
    """

    interest: NDArray[np.int64]
    second_interest: NDArray[np.int64]
    language: NDArray[np.int64]
    popularity: NDArray[np.float64]
    topic: NDArray[np.int64]
    domain: NDArray[np.int64]
    size: NDArray[np.float64]


def draw_audience(rng: np.random.Generator, crowd: Crowd) -> Audience:
    """Draw users and their views."""
    users = max(20, round(USERS_PER_STREAMER * len(crowd.interest)))
    views = rng.lognormal(np.log(_VIEWS_MEDIAN), _VIEWS_SPREAD, users)
    views = np.clip(views, _VIEWS_MIN, _VIEWS_MAX).astype(np.int64)
    viewer = np.repeat(np.arange(users), views)  # (V,), one entry per view

    wanted = _wanted_interest(rng, crowd, users, viewer)
    own_language = (rng.random(users) < 0.55).astype(np.int64)
    bilingual = rng.random(users) < _BILINGUAL_SHARE
    stays = np.where(bilingual, _BILINGUAL_OWN, _MONOLINGUAL_OWN)[viewer] > rng.random(len(viewer))
    language = np.where(stays, own_language[viewer], 1 - own_language[viewer])

    streamer = _pick_streamer(rng, crowd, wanted, language)
    found = streamer >= 0
    pairs = viewer[found] * len(crowd.interest) + streamer[found]
    pairs, times = np.unique(pairs, return_counts=True)
    return Audience(pairs // len(crowd.interest), pairs % len(crowd.interest), times, users)


def _wanted_interest(
    rng: np.random.Generator, crowd: Crowd, users: int, viewer: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Interest of each view (V,), -1 for any popular streamer."""
    count = len(crowd.size)
    tastes = rng.choice(count, (users, 3), p=crowd.size / crowd.size.sum())
    shares = np.cumsum(rng.dirichlet([1.0, 1.0, 1.0], users), axis=1)  # (U, 3)
    which = (rng.random(len(viewer))[:, None] > shares[viewer, :2]).sum(1)
    taste = tastes[viewer, which]

    kinds = np.cumsum([_OWN, _SIBLING, _FRIEND, _DOMAIN])
    kind = np.searchsorted(kinds, rng.random(len(viewer)))
    friends = np.stack([_friends(rng, count), _friends(rng, count)])
    options = np.stack(
        [
            taste,
            _within(rng, crowd.topic, taste),
            friends[rng.integers(0, 2, len(viewer)), taste],
            _within(rng, crowd.domain, taste),
            np.full(len(viewer), -1),
        ]
    )
    return options[kind, np.arange(len(viewer))]


def _friends(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Random pairing of interests (I,); an odd one is paired with itself."""
    order = rng.permutation(count)
    friend = np.arange(count)
    one, other = order[: count // 2], order[count // 2 : count // 2 * 2]
    friend[one], friend[other] = other, one
    return friend


def _within(
    rng: np.random.Generator, level: NDArray[np.int64], taste: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Random interest of the same topic or domain."""
    start = np.searchsorted(level, level[taste])
    stop = np.searchsorted(level, level[taste], side="right")
    return start + (rng.random(len(taste)) * (stop - start)).astype(np.int64)


def _pick_streamer(
    rng: np.random.Generator,
    crowd: Crowd,
    wanted: NDArray[np.int64],
    language: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Streamer of the interest and language by popularity (V,); -1 if there is none."""
    count = len(crowd.interest)
    second = np.flatnonzero(crowd.second_interest >= 0)
    member = np.concatenate([np.arange(count), second])
    interest = np.concatenate([crowd.interest, crowd.second_interest[second]])
    cell = interest * 2 + crowd.language[member]
    order = np.argsort(cell, kind="stable")
    member, cell = member[order], cell[order]
    weight = crowd.popularity[member] * np.where(order < count, 1.0, _SECOND_INTEREST_WEIGHT)
    total = np.concatenate([[0.0], np.cumsum(weight)])

    key = wanted * 2 + language
    start, stop = np.searchsorted(cell, key), np.searchsorted(cell, key, side="right")
    anybody = wanted < 0
    start[anybody], stop[anybody] = 0, len(member)
    point = total[start] + rng.random(len(key)) * (total[stop] - total[start])
    place = np.searchsorted(total, point, side="right") - 1
    place = np.minimum(np.maximum(place, start), stop - 1)  # rounding may step over an edge
    return np.where(stop > start, member[place], -1)
