"""Chinese names in Latin letters: what a translation leaves of a text, as it is read.

`Wangxiaoming` is what `王小明` becomes in another language. A Latin word that is three to five
syllables of pinyin, however it is divided, is read as characters, one for each syllable; few words
of other languages are. Time is linear: a word is short.
"""

import re
from collections.abc import Iterator
from functools import cache

from model_export.contract.folding.tables import tables

SYLLABLES = 3
"""Of a reading. Fewer are words of many languages; of more, each three are one."""
_MOST_SYLLABLES = 5
_LONGEST = 6
"""Letters of a syllable."""
_MOST_READINGS = 4
_MOST_VOWELS = 1
"""Syllables of vowels alone in a reading; more are words of other languages."""
_VOWELS = frozenset("aeiouv")
_WORD = re.compile(r"(?<![a-z])[a-z]{6,24}(?![a-z])")
_FOREIGN = re.compile(r"[^aeiouvngrh][^aeiouvh]|[^aeiouvngr]$|^[uv]")
"""What no word of syllables has: most words are told by it."""


def readings(text: str) -> list[str]:
    """Each three neighbouring syllables of romanised names, as characters of `phonetic`.

    Args:
        text: folded, with `i` for `l` and for what else looks like it; see `evidence.sounds_like`.
    """
    found: dict[str, None] = {}
    for word in dict.fromkeys(_WORD.findall(text)):
        found.update(dict.fromkeys(_parts_of(word)))
    return list(found)


def words_in(text: str) -> Iterator[tuple[int, int, list[str]]]:
    """Start and end of each romanised name in a text, see `readings`, and its `readings`."""
    for match in _WORD.finditer(text):
        if found := _parts_of(match[0]):
            yield match.start(), match.end(), found


def _parts_of(word: str) -> list[str]:
    """Each three neighbouring syllables of a word; empty where it is no romanised name."""
    found: dict[str, None] = {}
    if _FOREIGN.search(word) is None:
        for read in _parsed(word):
            windows = range(len(read) - SYLLABLES + 1)
            found.update(dict.fromkeys(read[at : at + SYLLABLES] for at in windows))
    return list(found)


def _parsed(word: str) -> list[str]:
    """Readings of a whole word, a few at most."""
    found: list[str] = []
    for read in _divisions(word, 0, ""):
        found.append(read)
        if len(found) == _MOST_READINGS:
            break
    return found


def _divisions(word: str, start: int, read: str) -> Iterator[str]:
    if start == len(word):
        if len(read) >= SYLLABLES:
            yield read
        return
    if len(word) - start > _LONGEST * (_MOST_SYLLABLES - len(read)):
        return
    known = _syllables()
    vowels = _vowels()
    for end in range(min(start + _LONGEST, len(word)), start, -1):
        character = known.get(word[start:end])
        if character is None:
            continue
        if character not in vowels or sum(map(vowels.__contains__, read)) < _MOST_VOWELS:
            yield from _divisions(word, end, read + character)


@cache
def _syllables() -> dict[str, str]:
    """Character of each syllable, which is spelt with `i` for `l`; `hm` and `n` are in no name."""
    known = tables().syllables
    return {name.replace("l", "i"): char for name, char in known.items() if _VOWELS & set(name)}


@cache
def _vowels() -> frozenset[str]:
    """Characters of the syllables of vowels alone."""
    return frozenset(char for name, char in tables().syllables.items() if set(name) <= _VOWELS)
