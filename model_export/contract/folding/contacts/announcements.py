"""Words that announce a contact, with where a search for them may begin.

A search for each platform's words takes most of the time of a text that names no contact, which is
most of what is written. So each pattern begins with a word itself, or is tried only where one of
the characters stands that its matches begin with.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from model_export.contract.folding.contacts.platforms import Platform, Strength
from model_export.contract.folding.scripts import phonetic

_LETTERS = re.compile("[a-z]+")
_BETWEEN = r"[·•*\u2190-\u2bff\U0001f000-\U0001faff]{1,2}"
_LATIN = "[a-z]"
_ALPHABETS = (_LATIN, "[а-яё]", "[ァ-ヺー]")
"""Of words that longer ones end with, as オンライン does with ライン."""


class Announcement(NamedTuple):
    """Words, as one pattern.

    Attributes:
        pattern: of the words.
        needles: the pattern matches no text without one of these,
        latin: or without all letter runs of one of these.
        begins: pattern of the character that a match begins with, instead of both.
        strength: what may follow them.
        is_sound: whether the pattern is over `phonetic` text.
    """

    pattern: re.Pattern[str]
    needles: Sequence[str] = ()
    latin: Collection[AbstractSet[str]] = ()
    begins: re.Pattern[str] | None = None
    strength: Strength = Strength.SURE
    is_sound: bool = False

    def matches(self, text: str) -> Iterator[re.Match[str]]:
        """Matches in a text, as `finditer` finds them."""
        return self._beginning(self.begins, text) if self.begins else self.pattern.finditer(text)

    def _beginning(self, begins: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
        end = 0
        for begin in begins.finditer(text):
            if begin.start() >= end:
                match = self.pattern.match(text, begin.start())
                if match is not None:
                    yield match
                    end = match.end()


class Announcements:
    """Announcements in an order, and which of them a text may have."""

    def __init__(self, given: Iterable[Announcement]) -> None:
        """Index them by what tells that a text may have them."""
        self._needles: list[tuple[str, bool, int]] = []
        self._latin: dict[str, list[tuple[AbstractSet[str], int]]] = defaultdict(list)
        self._begins: dict[re.Pattern[str], list[int]] = defaultdict(list)
        for place, each in enumerate(given):
            self._needles += [(needle, each.is_sound, place) for needle in each.needles]
            for runs in each.latin:
                self._latin[max(runs)].append((runs, place))
            if each.begins:
                self._begins[each.begins].append(place)

    def perhaps_in(self, text: str, sound: str, letters: AbstractSet[str]) -> list[int]:
        """Places of those that a text may have.

        Args:
            text: of which it is asked.
            sound: `phonetic` of the text.
            letters: `letters_in` of the text.
        """
        found = {
            place
            for word in self._latin.keys() & letters
            for runs, place in self._latin[word]
            if runs <= letters
        }
        for begins, places in self._begins.items():
            if begins.search(text) is not None:
                found.update(places)
        if not text.isascii():
            for needle, is_sound, place in self._needles:
                if needle in (sound if is_sound else text):
                    found.add(place)
        return sorted(found)


def letters_in(text: str) -> AbstractSet[str]:
    """Whole runs of small Latin letters."""
    return frozenset(_LETTERS.findall(text))


def said(word: str, behind: str, strength: Strength = Strength.SURE) -> Announcement:
    """How a word announces that is not the end of another one.

    Args:
        word: no Latin letter stands behind a Latin one, and no digit behind one that is not sure.
        behind: pattern of what follows.
        strength: what may follow.
    """
    written = re.escape(word)
    alphabet = next((each for each in _ALPHABETS if re.match(each, word)), None)
    whole = f"{written}(?<!{alphabet}{written})" if alphabet else written
    if alphabet != _LATIN:
        return Announcement(re.compile(whole + behind), (word,), strength=strength)
    whole += "(?![a-z])" if strength == Strength.SURE else "(?![a-z0-9])"
    return Announcement(re.compile(whole + behind), latin=[letters_in(word)], strength=strength)


def announcements(platform: Platform, behind: str) -> list[Announcement]:
    """How a platform is announced; `behind` is the pattern of what follows but for sounds."""
    begins = re.compile(platform.begins) if platform.begins else None
    found = [
        Announcement(re.compile(f"(?:{words}){behind}"), begins=begins, strength=strength)
        for words, strength in (
            (platform.words, Strength.SURE),
            (platform.usual, Strength.USUAL),
            (platform.mixed, Strength.MIXED),
        )
        if words
    ]
    found += [
        said(word, behind, strength)
        for words, strength in (
            (platform.sure, Strength.SURE),
            (platform.weak, Strength.WEAK),
            (platform.topics, Strength.SIGNED),
            (platform.doubtful, Strength.DOUBTFUL),
        )
        for word in words
    ]
    if platform.apart:
        pattern = re.compile(f"(?:{'|'.join(map(_apart, platform.apart))}){behind}")
        latin = [letters_in(" ".join(word)) for word in platform.apart]
        found.append(Announcement(pattern, latin=latin))
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
