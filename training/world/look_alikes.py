"""Simulation of honest accounts that look alike: fans, re-posters, shops of a chain, and others."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from training.disguises.contacts import handle
from training.world.duplicates import Account
from training.world.streamers import People, Person
from training.world.topics import LANGUAGES

KINDS = ("fans", "reposts", "franchise", "same_game", "common_bio", "agency")
_SIZES = (3, 8)
"""Smallest and largest set."""


class LookAlikes:
    """Planter of sets of accounts that share a streamer, a template or slang, and no operator."""

    def __init__(
        self, rng: random.Random, people: People, templates: dict[str, dict[str, list[str]]]
    ) -> None:
        """Prepare.

        Args:
            rng: source of all randomness.
            people: generator of the persons.
            templates: language -> kind of template -> templates, of `look_alikes.toml`.
        """
        self._rng = rng
        self._people = people
        self._templates = templates
        self._ways: dict[str, Callable[[int, int], list[Person]]] = {
            "fans": self._fans,
            "reposts": self._reposts,
            "franchise": self._franchise,
            "same_game": self._same_game,
            "common_bio": self._common_bio,
            "agency": self._agency,
        }

    def beside(self, stars: Sequence[Person], accounts: int) -> list[Account]:
        """Plant fans and re-posters of streamers that are there, a number of accounts in all."""
        planted: list[Account] = []
        shown = [star for star in stars if len(star.profile.get("videos", [])) >= 2]
        number = 0
        while accounts and shown:
            size = min(self._rng.randint(*_SIZES), accounts)
            kind = ("reposts", "fans")[number % 2]
            star = self._rng.choice(shown)
            ways = {"fans": self._fans_of, "reposts": self._reposts_of}
            for person in ways[kind](star, size):
                planted.append(Account(person, kind=kind, look_alikes=f"b{number}"))
            accounts -= size
            number += 1
        return planted

    def plant(self, accounts: int) -> list[Account]:
        """Plant sets with a number of accounts in all, two or more, kinds in turn."""
        planted: list[Account] = []
        number = 0
        while accounts >= 2:
            size = min(self._rng.randint(*_SIZES), accounts)
            size += accounts - size == 1  # none is left alone
            kind = KINDS[number % len(KINDS)]
            language = self._rng.randrange(len(LANGUAGES))
            for person in self._ways[kind](size, language):
                planted.append(Account(person, kind=kind, look_alikes=f"h{number}"))
            accounts -= size
            number += 1
        return planted

    def _fans(self, size: int, language: int) -> list[Person]:
        """A streamer, and accounts that are about that streamer."""
        star = self._person(language)
        return [star, *self._fans_of(star, size - 1)]

    def _fans_of(self, star: Person, size: int) -> list[Person]:
        found: list[Person] = []
        for fan in self._persons(size, star.language, star.interest):
            nick = star.writer.nick
            self._show(fan, "fans_bio", nick)
            self._retitle(fan, "fans_titles", nick, 0.5)
            fan.profile["tags"] = [*fan.profile.get("tags", [])[:4], nick]
            found.append(fan)
        return found

    def _reposts(self, size: int, language: int) -> list[Person]:
        """A streamer, and accounts that show one or two of the streamer's videos, with credit."""
        star = self._person(language)
        while len(star.profile.get("videos", [])) < 2 or "videos" not in star.real:
            star = self._person(language)
        return [star, *self._reposts_of(star, size - 1)]

    def _reposts_of(self, star: Person, size: int) -> list[Person]:
        found: list[Person] = []
        for other in self._persons(size, star.language, star.interest):
            taken = self._rng.sample(star.profile["videos"], self._rng.randint(1, 2))
            for i, video in enumerate(taken):
                mark = self._rng.choice(self._templates[LANGUAGES[star.language]]["reposts_mark"])
                credit = mark.format(title=video.get("title", ""), shared=star.writer.nick)
                shown = {"title": credit, "published_at": self._people.moment(90)}
                if i == 0 and "covers" in star.real and "cover" in video:
                    shown["cover"] = self._people.media.again(video["cover"])
                other.profile.setdefault("videos", []).append(shown)
            found.append(other)
        return found

    def _franchise(self, size: int, language: int) -> list[Person]:
        """Shops of a chain: a bio of one template, places and contacts of their own."""
        shop = self._shared("shop_name", language)
        template = self._rng.choice(self._templates[LANGUAGES[language]]["shop_bio"])
        persons = self._persons(size, language, None)
        for person in persons:
            place = person.writer.fill("{place}")
            person.profile["bio"] = self._fill(person, template.replace("{place}", place), shop)
            person.profile["name"] = f"{shop} {place}"
            self._retitle(person, "shop_titles", shop, 0.7)
        return persons

    def _same_game(self, size: int, language: int) -> list[Person]:
        """Players of one game, with its slang."""
        game = self._shared("game_name", language)
        persons = self._persons(size, language, None)
        tags = self._templates[LANGUAGES[language]]["game_tags"]
        for person in persons:
            self._show(person, "game_bio", game)
            self._retitle(person, "game_titles", game, 0.6)
            slang = self._rng.sample(tags, self._rng.randint(2, 4))
            person.profile["tags"] = [game, *slang, *person.profile.get("tags", [])[:2]]
        return persons

    def _common_bio(self, size: int, language: int) -> list[Person]:
        """Strangers with the same saying for a bio."""
        bio = self._shared("common_bio", language)
        persons = self._persons(size, language, None)
        for person in persons:
            person.profile["bio"] = bio
        return persons

    def _agency(self, size: int, language: int) -> list[Person]:
        """Streamers of an agency: a bio of one template, managers of their own."""
        agency = self._shared("agency_name", language)
        template = self._rng.choice(self._templates[LANGUAGES[language]]["agency_bio"])
        persons = self._persons(size, language, None)
        for person in persons:
            person.profile["bio"] = self._fill(person, template, agency)
        return persons

    def _persons(self, count: int, language: int, interest: int | None) -> list[Person]:
        """Persons with titles of their own, and with an interest where one is asked for."""
        return [self._person(language, interest) for _ in range(count)]

    def _person(self, language: int, interest: int | None = None) -> Person:
        """Person of this language who shows own videos or lives."""
        while True:
            person = self._people.person(interest=interest)
            if person.language == language and person.real & {"videos", "lives"}:
                return person

    def _shared(self, kind: str, language: int) -> str:
        return self._rng.choice(self._templates[LANGUAGES[language]][kind])

    def _show(self, person: Person, kind: str, shared: str) -> None:
        template = self._rng.choice(self._templates[LANGUAGES[person.language]][kind])
        person.profile["bio"] = self._fill(person, template, shared)

    def _retitle(self, person: Person, kind: str, shared: str, share: float) -> None:
        templates = self._templates[LANGUAGES[person.language]][kind]
        items: list[dict[str, Any]] = [
            *person.profile.get("videos", []),
            *person.profile.get("lives", []),
        ]
        for item in items:
            if self._rng.random() < share:
                item["title"] = self._fill(person, self._rng.choice(templates), shared)

    def _fill(self, person: Person, template: str, shared: str) -> str:
        hours = self._rng.choice(self._templates[LANGUAGES[person.language]]["hours"])
        known = {"shared": shared, "hours": hours, "handle": handle(self._rng)}
        for slot, value in known.items():
            template = template.replace(f"{{{slot}}}", value)
        return person.writer.fill(template)
