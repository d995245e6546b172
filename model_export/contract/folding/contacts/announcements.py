"""Words that announce a contact, with what tells without a search that a text has none of them.

A search for each platform's words takes most of the time of a text that names no contact, which is
most of what is written.
"""

import re
from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from model_export.contract.folding.contacts.platforms import Platform, Strength
from model_export.contract.folding.scripts import phonetic

_LETTERS = re.compile("[a-z]+")
_BETWEEN = r"[·•*\u2190-\u2bff\U0001f000-\U0001faff]{1,2}"


class Announcement(NamedTuple):
    """Words, as one pattern.

    Attributes:
        pattern: of the words.
        needles: the pattern matches no text without one of these ...
        latin: ... and without all letter runs of one of these.
        strength: what may follow them.
        is_sound: whether the pattern is over `phonetic` text.
    """

    pattern: re.Pattern[str]
    needles: Sequence[str]
    latin: Collection[AbstractSet[str]] = ()
    strength: Strength = Strength.SURE
    is_sound: bool = False

    def may_match(self, text: str, letters: AbstractSet[str]) -> bool:
        """Whether a search for the words is worth it.

        Args:
            text: of which it is asked.
            letters: `letters_in` of the text.
        """
        for needle in self.needles:  # no `any`: this is asked of each text for all platforms
            if needle in text:
                return True
        return any(words <= letters for words in self.latin) if self.latin else False


def letters_in(text: str) -> AbstractSet[str]:
    """Whole runs of small Latin letters."""
    return frozenset(_LETTERS.findall(text))


def announcements(platform: Platform, behind: str) -> list[Announcement]:
    """How a platform is announced; `behind` is the pattern of what follows but for sounds."""
    found: list[Announcement] = []
    for words, strength in (
        (platform.words, Strength.SURE),
        (platform.usual, Strength.USUAL),
        (platform.mixed, Strength.MIXED),
    ):
        if words:
            pattern = re.compile(f"(?:{words}){behind}")
            found.append(Announcement(pattern, platform.needles, strength=strength))
    for others, latins, strength in (
        (platform.weak, platform.latin, Strength.WEAK),
        (platform.topics, platform.latin_topics, Strength.SIGNED),
    ):
        parts = [*map(re.escape, others)]
        if latins:
            parts.append(f"(?<![a-z])(?:{'|'.join(map(re.escape, latins))})(?![a-z0-9])")
        if parts:
            latin = [letters_in(word) for word in latins]
            pattern = re.compile(f"(?:{'|'.join(parts)}){behind}")
            found.append(Announcement(pattern, others, latin, strength))
    if platform.apart:
        pattern = re.compile(f"(?:{'|'.join(map(_apart, platform.apart))}){behind}")
        latin = [letters_in(" ".join(word)) for word in platform.apart]
        found.append(Announcement(pattern, (), latin))
    if platform.spoken:
        words = [phonetic(word) for word in platform.spoken]
        pattern = re.compile("|".join(words))
        found.append(Announcement(pattern, words, strength=Strength.WEAK, is_sound=True))
    return found


def _apart(word: str) -> str:
    """Pattern of a Latin word with something between its letters.

    `V x Jimin` announces nobody. A colon behind blanks tells where no Latin word stands before, as
    in `Season V X: jane_doe`. Blanks are of one line: the next one is another text.
    """
    spread, split = _BETWEEN.join(word), "[ \\t]".join(word)
    told = r"(?=[ \t]?(?:id(?![a-z])|号))"
    colon = r"(?=[ \t]?[:：=])"
    alone = r"(?<![a-z0-9][ \t])"
    return (
        rf"(?<![a-z0-9])(?:{spread}(?![a-z])|{split}{told}|{alone}{split}{colon})"
        rf"|(?:加|\+|➕)我?[ \t]?{split}(?![a-z])"
    )
