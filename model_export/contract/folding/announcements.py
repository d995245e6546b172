"""Words that announce a contact, with what tells without a search that a text has none of them.

A search for each platform's words takes most of the time of a text that names no contact, which is
most of what is written.
"""

import re
from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from model_export.contract.folding.platforms import Platform
from model_export.contract.folding.scripts import phonetic

_LETTERS = re.compile("[a-z]+")
_BETWEEN = r"[·•*\u2190-\u2bff\U0001f000-\U0001faff]{1,2}"


class Announcement(NamedTuple):
    """Words, as one pattern.

    Attributes:
        pattern: of the words.
        is_weak: whether they are of everyday language.
        is_sound: whether the pattern is over `phonetic` text.
        needles: the pattern matches no text without one of these ...
        latin: ... and without all letter runs of one of these.
    """

    pattern: re.Pattern[str]
    is_weak: bool
    is_sound: bool
    needles: Sequence[str]
    latin: Collection[AbstractSet[str]] = ()

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
    if platform.words:
        pattern = re.compile(f"(?:{platform.words}){behind}")
        found.append(Announcement(pattern, False, False, platform.needles))
    if platform.weak or platform.latin:
        parts = [*map(re.escape, platform.weak)]
        if platform.latin:
            parts.append(f"(?<![a-z])(?:{'|'.join(map(re.escape, platform.latin))})(?![a-z0-9])")
        latin = [letters_in(word) for word in platform.latin]
        pattern = re.compile(f"(?:{'|'.join(parts)}){behind}")
        found.append(Announcement(pattern, True, False, platform.weak, latin))
    if platform.apart:
        pattern = re.compile(f"(?:{'|'.join(map(_apart, platform.apart))}){behind}")
        latin = [letters_in(" ".join(word)) for word in platform.apart]
        found.append(Announcement(pattern, False, False, (), latin))
    if platform.spoken:
        words = [phonetic(word) for word in platform.spoken]
        found.append(Announcement(re.compile("|".join(words)), False, True, words))
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
