"""Corpora with known duplicates: a world with rings, single disguises, real profiles disguised."""

import json
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations, cycle
from pathlib import Path
from typing import Any

from training.disguises import KINDS, MEDIA_KINDS, Kind, copy_of, fits, with_handle
from training.disguises.wording import Phrasebook
from training.world import generate
from training.world.topics import load_interests, load_phrases
from training.world.translation import phrasebook

_ELSEWHERE = 7919
"""Added to the seed of a world for that of another."""

Profile = dict[str, Any]
Pair = tuple[str, str]


def pair_of(one: str, other: str) -> Pair:
    """The same for both orders."""
    return min(one, other), max(one, other)


@dataclass(frozen=True)
class Corpus:
    """Profiles and what is true of their pairs.

    Attributes:
        name: for people.
        profiles: all profiles, with ids.
        true: pairs of duplicates.
        by_disguise: disguise -> pairs of an original and a copy in this disguise alone.
        look_alikes: pairs of honest accounts that look alike.
    """

    name: str
    profiles: list[Profile]
    true: set[Pair]
    by_disguise: dict[str, set[Pair]] = field(default_factory=dict)
    look_alikes: set[Pair] = field(default_factory=set)


def world_with_rings(streamers: int, seed: int, share: float) -> Corpus:
    """A simulated world: second accounts, re-uploads, rings, and honest look-alikes."""
    world = generate(streamers, seed, ring_share=share)
    true = pairs_within(world.ids, world.groups)
    look_alikes = pairs_within(world.ids, world.look_alikes)
    return Corpus("world with rings", world.profiles, true, look_alikes=look_alikes)


def disguise_by_disguise(streamers: int, seed: int, copies: int) -> Corpus:
    """A world without duplicates of its own, and so many copies in each disguise alone."""
    world = generate(streamers, seed)
    rng = random.Random(f"disguises/{seed}")
    others = [p for p, group in zip(world.profiles, world.groups, strict=True) if group is None]
    earnest = dict(zip(world.ids, world.earnest, strict=True))
    with_covers = {i for i, real in earnest.items() if "covers" in real}
    told = [p for p in others if _says_enough(earnest[p["streamer_id"]])]
    return _copied(
        "each disguise alone",
        others,
        generate(streamers, seed + _ELSEWHERE).profiles,
        told,
        with_covers,
        dict.fromkeys(KINDS, copies),
        world_words(),
        rng,
    )


def real_profiles(folder: Path, seed: int, most: int, copies: int) -> Corpus:
    """Profiles of a data set folder, and so many copies in disguises drawn at random."""
    rng = random.Random(f"real/{seed}")
    lines = (folder / "streamers.jsonl").read_text(encoding="utf-8").splitlines()
    drawn = [json.loads(line) for line in rng.sample(lines, min(most, len(lines)))]
    profiles, strangers = drawn[len(drawn) // 5 :], drawn[: len(drawn) // 5]
    chosen: dict[Kind, int] = defaultdict(int)
    for _ in range(copies):
        chosen[rng.choice(KINDS)] += 1
    told = [p for p in profiles if any(fits(p, kind) for kind in KINDS)]
    return _copied(f"real: {folder.name}", profiles, strangers, told, set(), chosen, None, rng)


def world_words() -> Phrasebook:
    """Words of translations in the world."""
    return phrasebook(load_interests(), load_phrases())


def _copied(
    name: str,
    others: list[Profile],
    strangers: list[Profile],
    candidates: list[Profile],
    with_covers: set[str],
    counts: dict[Kind, int],
    book: Phrasebook | None,
    rng: random.Random,
) -> Corpus:
    """`others`, and copies of different candidates in each kind; fewer where few fit.

    A copy that takes no words shows those of a stranger, who is not in the corpus.
    """
    shown = {p["streamer_id"]: p for p in others}
    by_disguise: defaultdict[str, set[Pair]] = defaultdict(set)
    left = rng.sample(candidates, len(candidates))
    own = cycle(rng.sample(strangers, len(strangers)))  # two copies of one stranger would be a pair
    rare_first = sorted(counts, key=lambda k: sum(_can(p, k, with_covers) for p in candidates))
    for kind in rare_first:
        fitting = [p for p in left if _can(p, kind, with_covers)][: counts[kind]]
        for original in fitting:
            left.remove(original)
            if kind == "shared_handle":
                original = with_handle(original, rng)
                shown[original["streamer_id"]] = original
            copied = copy_of(original, [kind], rng, next(own), book)
            shown[copied["streamer_id"]] = copied
            by_disguise[kind].add(pair_of(original["streamer_id"], copied["streamer_id"]))
    true = set().union(*by_disguise.values())
    return Corpus(name, list(shown.values()), true, dict(by_disguise))


def _can(profile: Profile, kind: Kind, with_covers: set[str]) -> bool:
    if kind == "shared_handle":
        return True  # planted
    if kind in MEDIA_KINDS and profile["streamer_id"] not in with_covers:
        return False
    return fits(profile, kind)


def _says_enough(real: frozenset[str]) -> bool:
    """Whether texts that are nobody else's would recognise a copy."""
    return bool(real & {"videos", "lives"}) or ("bio" in real and "tags" in real)


def pairs_within(ids: Sequence[str], groups: Iterable[str | None]) -> set[Pair]:
    """Pairs of one group."""
    members: defaultdict[str, list[str]] = defaultdict(list)
    for i, group in zip(ids, groups, strict=True):
        if group is not None:
            members[group].append(i)
    return {pair_of(a, b) for some in members.values() for a, b in combinations(some, 2)}
