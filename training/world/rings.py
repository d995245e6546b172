"""Simulation of rings: 3 to 20 accounts of one operator, each in a disguise of its own."""

import random
from collections.abc import Sequence
from dataclasses import replace

from training.disguises import KINDS, MEDIA_KINDS, Kind, copy_of, fits, with_handle
from training.disguises.wording import Phrasebook
from training.world.duplicates import Account, is_recognisable
from training.world.streamers import People, Person

SMALLEST, LARGEST = 3, 20
_WORDING: tuple[Kind, ...] = ("translated", "paraphrased", "shuffled_sentences", "partial_paste")
_WRITING: tuple[Kind, ...] = (
    "traditional", "homophones", "leetspeak", "homoglyphs", "one_homoglyph_a_word", "mathematical",
    "full_width",
)  # fmt: skip
_BETWEEN: tuple[Kind, ...] = (
    "spaced", "emoji_between", "punctuation_between", "combining", "zero_width", "bidi",
)  # fmt: skip
FAMILIES: tuple[tuple[Kind, ...], ...] = (
    _WORDING, _WRITING, _BETWEEN, MEDIA_KINDS, ("shared_handle",),
)  # fmt: skip
"""Kinds of which an account uses one at most: two of a family are beyond reading."""
_SEVERAL = (0.65, 0.25, 0.1)
"""Shares of accounts with one, two and three disguises."""


def ring_sizes(rng: random.Random, accounts: int) -> list[int]:
    """Sizes of rings, `SMALLEST` to `LARGEST`, that add up to a number of accounts, 0 or >= 3."""
    sizes: list[int] = []
    while accounts >= SMALLEST:
        size = min(rng.randint(SMALLEST, LARGEST), accounts)
        if 0 < accounts - size < SMALLEST:
            size = accounts if accounts <= LARGEST else size - SMALLEST
        size = max(size, SMALLEST)
        sizes.append(size)
        accounts -= size
    return sizes


def rings(rng: random.Random, people: People, accounts: int, book: Phrasebook) -> list[Account]:
    """Plant rings with a number of accounts in all, fewer than 3 of it left out."""
    planted: list[Account] = []
    for number, size in enumerate(ring_sizes(rng, accounts)):
        planted += _ring(rng, people, f"r{number}", size, book)
    return planted


def drawn_kinds(rng: random.Random, possible: Sequence[Kind]) -> tuple[Kind, ...]:
    """One to three kinds at random, of different families, in the order of `KINDS`."""
    count = rng.choices((1, 2, 3), _SEVERAL)[0]
    chosen: list[Kind] = []
    left: list[Kind] = [*possible]
    while left and len(chosen) < count:
        drawn = rng.choice(left)
        chosen.append(drawn)
        family = next(family for family in FAMILIES if drawn in family)
        left = [kind for kind in left if kind not in family]
    return tuple(kind for kind in KINDS if kind in chosen)


def _ring(
    rng: random.Random, people: People, group: str, size: int, book: Phrasebook
) -> list[Account]:
    original = _recognisable(people)
    if rng.random() < 0.4:
        original.profile = with_handle(original.profile, rng)
    possible: list[Kind] = [kind for kind in KINDS if fits(original.profile, kind)]
    if "covers" not in original.real:  # a placeholder is nobody's
        possible = [kind for kind in possible if kind not in MEDIA_KINDS]
    members = [Account(original, group, "ring_original")]
    for _ in range(size - 1):
        kinds = drawn_kinds(rng, possible)
        members.append(Account(_copied(rng, people, original, kinds, book), group, "ring", kinds))
    return members


def _recognisable(people: People) -> Person:
    while not is_recognisable(person := people.person()):
        pass
    return person


def _copied(
    rng: random.Random, people: People, original: Person, kinds: tuple[Kind, ...], book: Phrasebook
) -> Person:
    stranger = people.person()
    profile = copy_of(
        original.profile,
        kinds,
        rng,
        stranger.profile,
        book,
        again=lambda shown, _: people.media.again(shown),
    )
    del profile["streamer_id"]
    for part, key, name in (
        ("videos", "video_id", "published_at"),
        ("lives", "live_id", "started_at"),
    ):
        for item in profile.get(part, []):
            item.pop(key, None)
            item[name] = people.moment(60)
            item.setdefault("duration_s", rng.randint(8, 900))
    copied = replace(original, popularity=original.popularity * 0.3, profile=profile)
    profile["attributes"] = people.attributes(copied)
    return copied
