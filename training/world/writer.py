"""Text generator of one person, and disguises of copied texts."""

import random
import re
from collections.abc import Sequence
from typing import Any

_SLOT = re.compile(r"\{(\w+)\}")
_COINED = 6
"""Number of coined names per person."""
_ZERO_WIDTH = ("\u200b", "\u200d", "\u2060")


class Writer:
    """Generator of names, bios, titles and tags of one person.

    Each writer uses some of the topic's words and coined names of its own (such as places, works
    and products), which distinguish two writers of a topic and identify a second account.
    """

    def __init__(
        self, rng: random.Random, phrases: dict[str, list[Any]], words: Sequence[str]
    ) -> None:
        """Choose a handle, names and series.

        Args:
            rng: source of all randomness.
            phrases: phrases of the writer's language.
            words: words of the writer's interests.
        """
        self._rng = rng
        self._phrases = phrases
        self._words = words
        self._episode = rng.randint(1, 60)
        syllables = "".join(rng.choices(phrases["syllables"], k=rng.choice((2, 2, 3))))
        self.nick: str = syllables + rng.choice(phrases["endings"])
        self._coined = ["".join(rng.choices(phrases["coined"], k=3)) for _ in range(_COINED)]
        self._slots = phrases | {"w": words, "own": self._coined, "nick": [self.nick]}
        self._slots["series"] = [self.fill(line) for line in rng.sample(phrases["series"], 2)]

    def name(self) -> str:
        """A handle."""
        return self.fill(self._rng.choice(self._phrases["handles"]))

    def bio(self) -> str:
        """Two to four sentences."""
        rng, phrases = self._rng, self._phrases
        lines = [rng.choice(phrases["bio_start"])]
        lines += rng.sample(phrases["bio_middle"], rng.randint(1, 2))
        if rng.random() < 0.6:
            lines.append(rng.choice(phrases["bio_end"]))
        sentences = [self.fill(line) for line in lines]
        return " ".join(s[:1].upper() + s[1:] for s in sentences)

    def titles(self, count: int) -> list[str]:
        """Titles of videos."""
        return [self.fill(line) for line in self._rng.choices(self._phrases["titles"], k=count)]

    def live_titles(self, count: int) -> list[str]:
        """Titles of live sessions."""
        return [self.fill(line) for line in self._rng.choices(self._phrases["lives"], k=count)]

    def tags(self, most: int) -> list[str]:
        """One to `most` different words."""
        words = [*dict.fromkeys(self._words), *self._coined[:2]]
        return self._rng.sample(words, self._rng.randint(1, min(most, len(words))))

    def boilerplate(self, kind: str) -> str:
        """Boilerplate text."""
        return self.fill(self._rng.choice(self._phrases[f"boilerplate_{kind}"]))

    def fill(self, template: str) -> str:
        """Fill the slots of a template, without repeating an entry."""
        used: set[str] = set()

        def value(match: re.Match[str]) -> str:
            slot, rng = match[1], self._rng
            if slot == "ep":
                self._episode += 1
                return str(self._episode)
            if slot == "n":
                return str(rng.randint(2, 30))
            if slot == "year":
                return str(rng.randint(2015, 2025))
            options = self._slots[slot]
            chosen = rng.choice([text for text in options if text not in used] or options)
            used.add(chosen)
            return chosen

        return _SLOT.sub(value, template)

    def disguise(self, text: str) -> str:
        """Disguise a text lightly, like on a second account."""
        changes = (self._swap_word, self._add_emoji, _widen, self._hide, self._repunctuate)
        for change in self._rng.sample(changes, self._rng.choice((1, 1, 2))):
            text = change(text)
        return text

    def remark(self, title: str) -> str:
        """Change a title, like on a re-uploaded video."""
        roll = self._rng.random()
        if roll < 0.35:
            return title
        if roll < 0.65:
            return self._rng.choice(self._phrases["reupload_marks"]).format(title=title)
        return self.disguise(title)

    def second_name(self, name: str) -> str:
        """Name of the second account."""
        if self._rng.random() < 0.5 and (other := self.name()) != name:
            return other
        pattern = self._rng.choice(self._phrases["second_names"])
        return pattern.format(name=name, nick=self.nick)

    def _swap_word(self, text: str) -> str:
        there = [word for word in self._words if word in text]
        if not there:
            return self._add_emoji(text)
        return text.replace(self._rng.choice(there), self._rng.choice(self._words), 1)

    def _add_emoji(self, text: str) -> str:
        emoji = self._rng.choice(self._phrases["emoji"])
        return emoji + text if self._rng.random() < 0.3 else text + emoji

    def _hide(self, text: str) -> str:
        """Insert zero-width characters."""
        for _ in range(self._rng.randint(1, 4)):
            at = self._rng.randint(0, len(text))
            text = text[:at] + self._rng.choice(_ZERO_WIDTH) + text[at:]
        return text

    def _repunctuate(self, text: str) -> str:
        old, new = self._rng.choice(self._phrases["punctuation"])
        return text.replace(old, new) if old in text else text + "~"


def _widen(text: str) -> str:
    """ASCII letters and digits in their full-width forms."""
    return "".join(chr(ord(c) + 0xFEE0) if c.isascii() and c.isalnum() else c for c in text)
