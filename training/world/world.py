"""Generation of a world: people, duplicates, audiences and ground truth."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from training.errors import UsageError
from training.world.audience import Audience, Crowd, draw_audience
from training.world.duplicates import Account, duplicate, group_sizes, is_recognisable
from training.world.hidden_rings import SMALLEST as SMALLEST_HIDDEN
from training.world.hidden_rings import hidden_rings
from training.world.look_alikes import LookAlikes
from training.world.media.cover_vectors import CoverVectors
from training.world.media.studio import Studio, made
from training.world.rings import SMALLEST, rings
from training.world.streamers import People, Person
from training.world.topics import Interest, load_interests, load_look_alikes, load_phrases
from training.world.translation import phrasebook

MIN_STREAMERS = 10
EMPTY_SHARE = 0.01
"""Share of streamers without content."""
_OF_RINGS = ("ring", "ring_original", "ring_seed")
MAX_RING_SHARE = 0.3
"""Largest share of accounts in rings; as many again are look-alikes."""


@dataclass(frozen=True, eq=False)
class World:
    """N streamers with ground truth, in equal order.

    Attributes:
        profiles: JSON form of each StreamerProfile, with media recipes in place of media.
        topics: topic of each, such as `games/moba`.
        groups: duplicate group of each, None without duplicates.
        kinds: role of each in its group, or kind of its look-alikes; None for all others.
        disguises: disguises of each, for accounts of rings.
        look_alikes: set of honest look-alikes of each, None without.
        splits: train, val or test of each; groups are whole.
        earnest: informative modalities of each (`training.world.streamers`); all other content is
            boilerplate.
        audience: interactions.
        media: whether there are pictures and sounds instead of cover vectors.
        ring_share: share of planted rings, as asked for.
        rings: ring of each whose accounts hang together by chains, None without; the kinds of its
            accounts are `ring_seed` and `ring`.
        hidden_share: share of accounts in such rings, as asked for.
    """

    profiles: list[dict[str, Any]]
    topics: list[str]
    groups: list[str | None]
    kinds: list[str | None]
    disguises: list[tuple[str, ...]]
    look_alikes: list[str | None]
    splits: list[str]
    earnest: list[frozenset[str]]
    audience: Audience
    media: bool = False
    ring_share: float = 0.0
    rings: list[str | None] = field(default_factory=list[str | None])
    hidden_share: float = 0.0

    @property
    def ids(self) -> list[str]:
        """Ids of the streamers."""
        return [profile["streamer_id"] for profile in self.profiles]

    def shown(self) -> Iterator[dict[str, Any]]:
        """Profiles with rendered media, one by one, since media are large."""
        return map(made, self.profiles) if self.media else iter(self.profiles)


def generate(
    streamers: int,
    seed: int,
    media: bool = False,
    ring_share: float = 0.0,
    hidden_share: float = 0.0,
) -> World:
    """Generate a world, deterministically by its arguments.

    Args:
        streamers: number of streamers.
        seed: of all randomness.
        media: pictures and sounds instead of cover vectors; all else is unchanged.
        ring_share: share of accounts in planted rings, up to `MAX_RING_SHARE`; as many more are
            honest look-alikes. Rings are all in the test split, so no threshold is chosen on them.
        hidden_share: share of accounts in rings that hang together by chains, likewise.

    Raises:
        UsageError: fewer than `MIN_STREAMERS` streamers, or no such share.
    """
    if streamers < MIN_STREAMERS:
        raise UsageError(f"a world needs at least {MIN_STREAMERS} streamers, not {streamers}")
    planted = _planted(streamers, ring_share, SMALLEST)
    hidden = _planted(streamers, hidden_share, SMALLEST_HIDDEN)
    rng = random.Random(f"world/{seed}")
    noise, views, parts = (np.random.default_rng([abs(seed), seed < 0, i]) for i in range(3))
    interests = load_interests()
    if media:
        shown = Studio(random.Random(f"world/{seed}/media"), interests)
    else:
        shown = CoverVectors(noise, interests)
    phrases = load_phrases()
    people = People(rng, shown, interests, phrases)
    accounts = _accounts(rng, people, streamers - 2 * (planted + hidden))
    book = phrasebook(interests, phrases)
    if planted:
        accounts += rings(rng, people, planted, book)
    in_rings = hidden_rings(rng, people, hidden, book)
    look_alikes = LookAlikes(rng, people, load_look_alikes())
    accounts += in_rings
    accounts += look_alikes.plant(planted + hidden // 2)
    accounts += look_alikes.beside([each.person for each in in_rings], hidden - hidden // 2)
    rng.shuffle(accounts)
    persons = [account.person for account in accounts]
    digits = len(str(streamers - 1))
    return World(
        profiles=[_with_ids(f"w{i:0{digits}}", p.profile) for i, p in enumerate(persons)],
        topics=[interests[person.interest].topic for person in persons],
        groups=[account.group for account in accounts],
        kinds=[account.kind for account in accounts],
        disguises=[account.disguises for account in accounts],
        look_alikes=[account.look_alikes for account in accounts],
        splits=_splits(parts, accounts),
        earnest=[person.real for person in persons],
        audience=draw_audience(views, _crowd(persons, people, interests)),
        media=media,
        ring_share=ring_share,
        rings=[account.ring for account in accounts],
        hidden_share=hidden_share,
    )


def _planted(streamers: int, share: float, smallest: int) -> int:
    """Number of accounts in rings, the smallest of which has so many."""
    if not 0 <= share <= MAX_RING_SHARE:
        raise UsageError(f"rings need a share of 0 to {MAX_RING_SHARE}, not {share}")
    planted = round(share * streamers)
    if share and planted < smallest:
        raise UsageError(
            f"{share} of {streamers} streamers are fewer than a ring's {smallest}; "
            "take a larger share, more streamers, or 0"
        )
    return planted


def _accounts(rng: random.Random, people: People, streamers: int) -> list[Account]:
    """Accounts with their duplicate groups."""
    sizes = group_sizes(rng, streamers)
    count = streamers - sum(size - 1 for size in sizes)
    empty = round(EMPTY_SHARE * streamers)
    persons = [people.person(shows_anything=i >= empty) for i in range(count)]
    originals = rng.sample([i for i in range(count) if is_recognisable(persons[i])], len(sizes))
    group_of = {original: f"g{number}" for number, original in enumerate(originals)}
    accounts = [
        Account(person, group_of[i], "original") if i in group_of else Account(person)
        for i, person in enumerate(persons)
    ]
    for original, size in zip(originals, sizes, strict=True):
        for _ in range(size - 1):
            accounts.append(duplicate(rng, people, persons[original], group_of[original]))
    return accounts


def _with_ids(streamer_id: str, profile: dict[str, Any]) -> dict[str, Any]:
    numbered: dict[str, Any] = {"streamer_id": streamer_id, **profile}
    for kind, name, letter in (("videos", "video_id", "v"), ("lives", "live_id", "l")):
        if profile.get(kind):
            numbered[kind] = [
                {name: f"{streamer_id}-{letter}{i}", **item} for i, item in enumerate(profile[kind])
            ]
        else:
            numbered.pop(kind, None)
    return numbered


def _splits(rng: np.random.Generator, accounts: list[Account]) -> list[str]:
    """Random split: 70 % train, 10 % val, 20 % test, duplicate groups whole, rings in test."""
    units: dict[str | int, list[int]] = {}
    for row, account in enumerate(accounts):
        units.setdefault(row if account.group is None else account.group, []).append(row)
    splits = ["train"] * len(accounts)
    placed = 0
    members = list(units.values())
    for unit in rng.permutation(len(members)):
        share = placed / len(accounts)
        for row in members[unit]:
            is_test = share < 0.2 or accounts[row].kind in _OF_RINGS
            splits[row] = "test" if is_test else "val" if share < 0.3 else "train"
        placed += len(members[unit])
    return splits


def _crowd(persons: list[Person], people: People, interests: list[Interest]) -> Crowd:
    topics = [interest.topic for interest in interests]
    domains = [topic.split("/")[0] for topic in topics]
    second = [-1 if p.second_interest is None else p.second_interest for p in persons]
    return Crowd(
        interest=np.array([person.interest for person in persons]),
        second_interest=np.array(second),
        language=np.array([person.language for person in persons]),
        popularity=np.array([person.popularity for person in persons]),
        topic=_numbered(topics),
        domain=_numbered(domains),
        size=np.array(people.interest_sizes),
    )


def _numbered(names: list[str]) -> np.ndarray:
    """Numbers from 0 in order of first appearance."""
    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return np.array([number[name] for name in names])
