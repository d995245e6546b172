"""Simulation of rings whose accounts show little in common with most of the others.

An operator who knows that copies are looked for opens each account with words, pictures and a name
of its own, and reuses one thing of one earlier account: a handle, some covers, or the words in a
disguise. What an account took it does not pass on: the next one reuses something else of it. So two
accounts that are hops apart share nothing, and the ring hangs together by chains alone.
"""

import random
from dataclasses import replace

from training.disguises import KINDS, MEDIA_KINDS, Kind, copy_of, fits
from training.disguises.contacts import contact_line, handle
from training.disguises.wording import Phrasebook
from training.world.duplicates import Account
from training.world.rings import drawn_kinds
from training.world.streamers import People, Person

SMALLEST, LARGEST = 8, 25
SEEDS = 2
"""Accounts of a ring that are known; the others are three links from one of them at most."""
_DEEPEST = 3
_LAYERS = (0.35, 0.4, 0.25)
"""Shares of the other accounts that are one, two and three links from a seed."""
_HANDLES, _MEDIA = 0.35, 0.3
"""Shares of accounts that reuse a handle and covers; the others reuse words."""
_OTHER_WORDS: tuple[Kind, ...] = ("translated", "paraphrased")
"""Disguises that leave no words the same: whoever reuses words in these shares nothing."""
_AGAIN = 0.35
"""Share of accounts that reuse a handle of a second account, of the same layer or that before."""


def hidden_sizes(rng: random.Random, accounts: int) -> list[int]:
    """Sizes of rings that add up to a number of accounts, fewer than `SMALLEST` left out."""
    sizes: list[int] = []
    while accounts >= SMALLEST:
        size = rng.randint(SMALLEST, LARGEST)
        size = accounts if accounts - size < SMALLEST and accounts <= LARGEST else size
        sizes.append(min(size, accounts))
        accounts -= sizes[-1]
    return sizes


def hidden_rings(
    rng: random.Random, people: People, accounts: int, book: Phrasebook
) -> list[Account]:
    """Plant rings with a number of accounts in all."""
    planted: list[Account] = []
    for number, size in enumerate(hidden_sizes(rng, accounts)):
        planted += _Ring(rng, people, book).grown(f"q{number}", size)
    return planted


class _Ring:
    def __init__(self, rng: random.Random, people: People, book: Phrasebook) -> None:
        self._rng = rng
        self._people = people
        self._book = book
        self._taken: dict[int, str] = {}  # by place of an account, what it took itself

    def grown(self, ring: str, size: int) -> list[Account]:
        """The accounts of a ring, seeds first."""
        members = [Account(self._telling(), kind="ring_seed", ring=ring) for _ in range(SEEDS)]
        layers = [list(range(SEEDS))]
        left = size - SEEDS
        for depth in range(1, _DEEPEST + 1):
            share = _LAYERS[depth - 1] / sum(_LAYERS[depth - 1 :])
            count = left if depth == _DEEPEST else max(1, round(share * left))
            layer: list[int] = []
            for _ in range(count):
                layer.append(len(members))
                parent = self._rng.choice(layers[-1])
                members.append(self._linked(members, parent, ring))
                near = [place for place in (*layers[-1], *layer) if place != layer[-1]]
                if self._rng.random() < _AGAIN and len(near) > 1:
                    self._share_handle(members, self._rng.choice(near), layer[-1])
            layers.append(layer)
            left -= count
        return members

    def _linked(self, members: list[Account], parent: int, ring: str) -> Account:
        """An account that reuses something of its parent, other than what that one took."""
        place = len(members)
        ways = {"handle": _HANDLES, "media": _MEDIA, "words": 1 - _HANDLES - _MEDIA}
        ways.pop(self._taken.get(parent, ""), None)
        original = members[parent].person
        if not self._media_of(original):
            ways.pop("media", None)
        words: list[Kind] = [k for k in KINDS if self._is_words(k) and fits(original.profile, k)]
        if not words:
            ways.pop("words", None)
        way = self._rng.choices([*ways], [*ways.values()])[0] if ways else "handle"
        self._taken[place] = way
        if way == "handle":
            members.append(Account(self._telling(), kind="ring", ring=ring))
            self._share_handle(members, parent, place)
            return replace(members.pop(), disguises=("shared_handle",))
        kinds: tuple[Kind, ...] = (
            drawn_kinds(self._rng, words)
            if way == "words"
            else (self._rng.choice(self._media_of(original)),)
        )
        copied = self._copied(original, kinds)
        return Account(copied, kind="ring", ring=ring, disguises=kinds)

    def _share_handle(self, members: list[Account], one: int, other: int) -> None:
        """Two accounts name one handle, the later one hides it."""
        name = handle(self._rng)
        for place, is_hidden in ((one, False), (other, True)):
            person = members[place].person
            line = contact_line(name, self._rng, hidden=is_hidden)
            bio = f"{person.profile.get('bio', '')} {line}".strip()
            shown = replace(person, profile={**person.profile, "bio": bio})
            members[place] = replace(members[place], person=shown)

    def _copied(self, original: Person, kinds: tuple[Kind, ...]) -> Person:
        stranger = self._telling()
        profile = copy_of(
            original.profile,
            kinds,
            self._rng,
            stranger.profile,
            self._book,
            again=lambda shown, _: self._people.media.again(shown),
        )
        del profile["streamer_id"]
        for part, key, name in (
            ("videos", "video_id", "published_at"),
            ("lives", "live_id", "started_at"),
        ):
            for item in profile.get(part, []):
                item.pop(key, None)
                item[name] = self._people.moment(60)
                item.setdefault("duration_s", self._rng.randint(8, 900))
        copied = replace(stranger, profile=profile)
        profile["attributes"] = self._people.attributes(copied)
        return copied

    def _telling(self) -> Person:
        """A person with words enough that a copy of them is one."""
        while True:
            person = self._people.person()
            if person.real & {"videos", "lives"}:
                return person

    def _media_of(self, person: Person) -> list[Kind]:
        if "covers" not in person.real:
            return []
        return [kind for kind in KINDS if kind in MEDIA_KINDS and fits(person.profile, kind)]

    @staticmethod
    def _is_words(kind: Kind) -> bool:
        return kind not in (*MEDIA_KINDS, *_OTHER_WORDS, "shared_handle")
