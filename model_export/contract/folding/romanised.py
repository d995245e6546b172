"""Chinese names in Latin letters: what a translation leaves of a text, as it is read.

`Wangxiaoming` is what `王小明` becomes in another language. A Latin word that is three to five
syllables of pinyin, however it is divided, is read as characters, one for each syllable; few words
of other languages are. Time is linear: a word is short.
"""

import re
from collections.abc import Iterator
from functools import cache, lru_cache

from model_export.contract.folding.tables import tables

_SPELT = re.compile(r"(?:[a-z]+|[\u3105-\u312f]+)(?:[1-5](?!\d)|[\u02c7\u02ca\u02cb\u02d9])?")
"""A word of pinyin or Bopomofo, with a tone."""
_CHINESE = re.compile("[\u3400-\u9fff]")
_LONGEST_WORD = 200
_FEWEST_SPELT = 6
_LETTERS = 2.4
"""Letters of a syllable of Chinese, on average, at least."""
_MOST_LATIN = 0.8
"""Share of the letters that are of words of syllables, at least."""
SYLLABLES = 3
"""Of a reading. Fewer are words of many languages; of more, each three are one."""
_MOST_SYLLABLES = 5
_TONES = "12345ˇˊˋ˙"
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


def sounded(text: str) -> str | None:
    """A text with characters of `phonetic` for its syllables of pinyin and Bopomofo.

    None unless nearly all of its Latin letters are of words that are syllables throughout, and
    these are as long as those of Chinese: Italian, Malay and Japanese are read as shorter ones. Six
    are needed (`huan ying lai dao zhe li`), or three beside Chinese characters (`huan迎`).

    Args:
        text: folded, without accents.
    """
    parts, at = list[str](), 0
    count = read_letters = letters = 0
    for match in _SPELT.finditer(text):
        word = match[0].rstrip(_TONES)
        letters += len(word)
        if read := _read(word):
            parts += text[at : match.start()], read
            at, count = match.end(), count + len(read)
            read_letters += len(word) if word.isascii() else _LETTERS * len(read)
    fewest = SYLLABLES if _CHINESE.search(text) else _FEWEST_SPELT
    if count < fewest or read_letters < max(_LETTERS * count, _MOST_LATIN * letters):
        return None
    return "".join([*parts, text[at:]])


@lru_cache(1 << 15)
def _read(word: str) -> str:
    """Characters for the syllables of a word, the longest first; empty where it is none."""
    if len(word) > _LONGEST_WORD or (word.isascii() and _FOREIGN.search(word)):
        return ""
    known, reads = _spellings(), {len(word): ""}
    for start in range(len(word) - 1, -1, -1):
        for end in range(min(start + _LONGEST, len(word)), start, -1):
            if end in reads and word[start:end] in known:
                reads[start] = known[word[start:end]] + reads[end]
                break
    return reads.get(0, "")


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
def _spellings() -> dict[str, str]:
    """Character of each syllable with a vowel, in pinyin and in Bopomofo."""
    known = tables().syllables
    return {name: char for name, char in known.items() if not name.isascii() or _VOWELS & set(name)}


@cache
def _syllables() -> dict[str, str]:
    """Character of each syllable, which is spelt with `i` for `l`; `hm` and `n` are in no name."""
    known = tables().syllables
    return {name.replace("l", "i"): char for name, char in known.items() if _VOWELS & set(name)}


@cache
def _vowels() -> frozenset[str]:
    """Characters of the syllables of vowels alone."""
    return frozenset(char for name, char in tables().syllables.items() if set(name) <= _VOWELS)
