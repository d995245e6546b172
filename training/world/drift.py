"""Interest drift: older titles of some streamers are about a former interest.

Audience, bio, tags and pictures follow the current interest, so newer titles are more informative,
which an encoder can only learn from dates.
"""

import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from training.world.streamers import EPOCH, Person
from training.world.topics import LANGUAGES, Interest
from training.world.writer import Writer

_LEAST_DAYS, _MOST_DAYS = 30, 200
"""Range of the time since the change, in days."""


class Drift:
    """Rewrites the older titles of a share of streamers."""

    def __init__(
        self,
        rng: random.Random,
        share: float,
        interests: list[Interest],
        phrases: Mapping[str, dict[str, list[Any]]],
    ) -> None:
        """Prepare the rewriting.

        Args:
            rng: used here only, so drift changes nothing else in a world.
            share: share of streamers with drift, in [0, 1].
            interests: interests of the world.
            phrases: phrases per language.
        """
        self._rng = rng
        self._share = share
        self._interests = interests
        self._phrases = phrases

    def __call__(self, person: Person) -> None:
        """Rewrite the informative older titles of a person, with probability `share`."""
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
