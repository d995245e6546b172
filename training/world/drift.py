"""People who have changed their interest: what they showed before is about another one.

Their audience follows what they do now, as do their bio, tags and pictures. So their newer titles
tell more than the older ones, and an encoder can only know by their dates.
"""

import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from training.world.streamers import EPOCH, Person
from training.world.topics import LANGUAGES, Interest
from training.world.writer import Writer

_LEAST_DAYS, _MOST_DAYS = 30, 200
"""The change was so many days ago."""


class Drift:
    """Rewrites the older titles of a share of people."""

    def __init__(
        self,
        rng: random.Random,
        share: float,
        interests: list[Interest],
        phrases: Mapping[str, dict[str, list[Any]]],
    ) -> None:
        """Nobody has changed yet.

        Args:
            rng: of no use to anything else, so that all else in a world stays the same.
            share: of people who do, in [0, 1].
            interests: of the world.
            phrases: per language.
        """
        self._rng = rng
        self._share = share
        self._interests = interests
        self._phrases = phrases

    def __call__(self, person: Person) -> None:
        """Rewrite, or not, what this person shows in earnest."""
        rng = self._rng
        if rng.random() >= self._share:
            return
        former = self._interests[rng.randrange(len(self._interests))]
        words = [*former.words[person.language], *former.topic_words[person.language]]
        writer = Writer(rng, self._phrases[LANGUAGES[person.language]], rng.sample(words, 6))
        change = EPOCH - timedelta(days=rng.randint(_LEAST_DAYS, _MOST_DAYS))
        if "videos" in person.real:
            for video in person.profile["videos"]:
                if datetime.fromisoformat(video["published_at"]) < change:
                    video["title"] = writer.titles(1)[0]
                    if "tags" in video:
                        video["tags"] = writer.tags(3)
        if "lives" in person.real:
            for live in person.profile["lives"]:
                if datetime.fromisoformat(live["started_at"]) < change:
                    live["title"] = writer.live_titles(1)[0]
