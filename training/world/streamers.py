"""Simulation of people and their profiles, with missing and boilerplate parts."""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from training.world.media.cover_vectors import Media
from training.world.topics import LANGUAGES, Interest
from training.world.writer import Writer

EPOCH = datetime(2025, 6, 1, tzinfo=UTC)
"""Present time of the world, fixed for reproducibility."""

MODALITIES = ("bio", "tags", "category", "videos", "lives", "covers")
"""Modalities that may be missing or boilerplate, independently."""
MISSING, MEANINGLESS = 0.3, 0.2
"""Shares of streamers per modality."""
TELLING = ("bio", "videos", "lives")
"""Every profile with content has at least one informative modality of these, since profiles of a
category and 欢迎关注 alone would be indistinguishable from duplicates."""

_CHINESE_SHARE = 0.55


@dataclass
class Person:
    """The person behind an account.

    Attributes:
        interest: place in the list of interests.
        second_interest: second interest, or None.
        language: place in `LANGUAGES`.
        popularity: relative size of the audience.
        writer: generator of texts.
        style: style of the media; see `Media.style`.
        real: informative modalities; empty for profiles without content.
        profile: profile without ids.
    """

    interest: int
    second_interest: int | None
    language: int
    popularity: float
    writer: Writer
    style: Any
    real: frozenset[str] = frozenset()
    profile: dict[str, Any] = field(default_factory=dict)


class People:
    """Generator of people and profiles, deterministic for its random generators."""

    def __init__(
        self,
        rng: random.Random,
        media: Media,
        interests: list[Interest],
        phrases: dict[str, dict[str, list[Any]]],
    ) -> None:
        self._rng = rng
        self.media = media
        self._interests = interests
        self._phrases = phrases
        topics = {interest.topic: None for interest in interests}
        size = {topic: rng.lognormvariate(0, 0.5) for topic in topics}
        self.interest_sizes = [size[i.topic] * rng.lognormvariate(0, 0.3) for i in interests]

    def person(self, shows_anything: bool = True, interest: int | None = None) -> Person:
        """Create a person with a profile; the interest is drawn unless given."""
        rng = self._rng
        if interest is None:
            interest = rng.choices(range(len(self._interests)), self.interest_sizes)[0]
        second = self._second_interest(interest) if rng.random() < 0.4 else None
        language = int(rng.random() < _CHINESE_SHARE)
        person = Person(
            interest=interest,
            second_interest=second,
            language=language,
            popularity=rng.lognormvariate(0, 1),
            writer=self._writer(interest, second, language),
            style=self.media.style(interest),
        )
        if shows_anything:
            self._write(person)
        else:
            person.profile = {"language": LANGUAGES[language]} if rng.random() < 0.5 else {}
        person.profile["attributes"] = self.attributes(person)
        return person

    def attributes(self, person: Person) -> dict[str, Any]:
        """Random attributes for filters."""
        followers = int(200 * person.popularity * self._rng.lognormvariate(0, 0.4))
        return {
            "followers": followers,
            "partner": followers > 400 and self._rng.random() < 0.5,
            "joined_days": self._rng.randint(10, 3000),
        }

    def moment(self, days: int) -> str:
        """Random time within the last `days` days."""
        past = timedelta(minutes=self._rng.randrange(days * 24 * 60))
        return (EPOCH - past).strftime("%Y-%m-%dT%H:%M:%SZ")

    def stranger_writer(self, person: Person) -> Writer:
        """Writer of another person with the same interests."""
        return self._writer(person.interest, person.second_interest, person.language)

    def _second_interest(self, first: int) -> int:
        """Second interest, mostly of the same topic."""
        if self._rng.random() < 0.6:
            topic = self._interests[first].topic
            near = [i for i, other in enumerate(self._interests) if other.topic == topic]
            return self._rng.choice([i for i in near if i != first])
        return self._rng.randrange(len(self._interests))

    def _writer(self, first: int, second: int | None, language: int) -> Writer:
        rng, interest = self._rng, self._interests[first]
        words = rng.sample(interest.words[language], 2)
        words += rng.sample(interest.topic_words[language], 4)
        if second is not None:
            words += rng.sample(self._interests[second].words[language], 1)
        if LANGUAGES[language] == "zh" and rng.random() < 0.15:  # some use English words
            words += rng.sample(interest.words[LANGUAGES.index("en")], 2)
        return Writer(rng, self._phrases[LANGUAGES[language]], words)

    def _states(self) -> dict[str, str]:
        """Modality -> real, missing or meaningless, drawn at random."""
        states = {}
        for name in MODALITIES:
            roll = self._rng.random() - MISSING
            states[name] = (
                "missing" if roll < 0 else "meaningless" if roll < MEANINGLESS else "real"
            )
        if not any(states[name] == "real" for name in TELLING):
            states[self._rng.choice(TELLING)] = "real"
        return states

    def _write(self, person: Person) -> None:
        rng, writer = self._rng, person.writer
        phrases = self._phrases[LANGUAGES[person.language]]
        interest = self._interests[person.interest]
        states = self._states()
        person.real = frozenset(name for name, state in states.items() if state == "real")
        profile = person.profile = {"name": writer.name()}
        if states["bio"] != "missing":
            real = states["bio"] == "real"
            profile["bio"] = writer.bio() if real else writer.boilerplate("bios")
        if states["tags"] == "real":
            spam = rng.sample(phrases["spam_tags"], rng.choice((0, 0, 0, 1, 2)))
            profile["tags"] = [*writer.tags(8), *spam]
        elif states["tags"] == "meaningless":
            profile["tags"] = rng.sample(phrases["spam_tags"], rng.randint(2, 6))
        if states["category"] == "real":
            names = interest.topic_name if rng.random() < 0.5 else interest.domain_name
            profile["category"] = names[person.language]
        elif states["category"] == "meaningless":
            profile["category"] = rng.choice(phrases["other_categories"])
        if rng.random() < 0.92:
            profile["language"] = LANGUAGES[person.language]
        if states["videos"] != "missing":
            profile["videos"] = self._videos(person, states)
        if states["lives"] != "missing":
            profile["lives"] = self._lives(person, states)
        self.media.complete(person.style, profile)

    def _videos(self, person: Person, states: dict[str, str]) -> list[dict[str, Any]]:
        rng, writer = self._rng, person.writer
        count, real = rng.randint(3, 12), states["videos"] == "real"
        titles = writer.titles(count) if real else self._boilerplate(writer, "titles", count)
        videos = []
        for title in titles:
            video: dict[str, Any] = {"title": title}
            if real and rng.random() < 0.4:
                video["tags"] = writer.tags(3)
            video["published_at"] = self.moment(500)
            video["duration_s"] = rng.randint(8, 900)
            self._add_cover(video, person, states)
            videos.append(video)
        return videos

    def _lives(self, person: Person, states: dict[str, str]) -> list[dict[str, Any]]:
        rng, writer = self._rng, person.writer
        count, real = rng.randint(3, 7), states["lives"] == "real"
        titles = writer.live_titles(count) if real else self._boilerplate(writer, "lives", count)
        lives = []
        for title in titles:
            live: dict[str, Any] = {
                "title": title,
                "started_at": self.moment(200),
                "duration_s": rng.randint(600, 20000),
            }
            self._add_cover(live, person, states)
            lives.append(live)
        return lives

    def _boilerplate(self, writer: Writer, kind: str, count: int) -> list[str]:
        return [writer.boilerplate(kind) for _ in range(count)]

    def _add_cover(self, item: dict[str, Any], person: Person, states: dict[str, str]) -> None:
        if states["covers"] == "meaningless":
            item["cover"] = self.media.placeholder(person.style)
        elif states["covers"] == "real" and self._rng.random() < 0.9:
            item["cover"] = self.media.cover(person.style)
