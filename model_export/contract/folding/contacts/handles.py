"""Handles that are written apart or with numerals: `g·u·u·_·8`, `guu_捌捌六六`, `gu❤u_❤88`.

What follows an announcing word is read as chunks of handle characters. Chunks of one size with the
same separator between them, or with any signs that stand in no handle, are one handle; blanks, dots
and dashes separate single characters only. Linear: a handle has at most `_LONGEST` characters.
"""

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import compress
from typing import Final, NamedTuple

from model_export.contract.folding.contacts.everyday import is_series
from model_export.contract.folding.letters import Disguise

NUMERALS: Final = dict(
    zip(
        "零〇洞一幺壹弌二两贰貳弐三叁參参四肆五伍六陆陸七柒拐八捌九玖勾",
        "000111122222333344556667778899" + "9",
        strict=True,
    )
)
AS_DIGITS: Final = str.maketrans(NUMERALS)
FEWEST_DIGITS: Final = 2
"""Of a handle that is read by its shape. Words have none, and counts are no handles."""
FEWEST_IN_A_NUMBER: Final = 8
"""Digits of a handle of digits alone behind a word of everyday language."""

EMOJI: Final = r"\u2190-\u2bff\U0001f000-\U0001faff"
WIDEST: Final = 3
"""Characters of a chunk between separators, at most."""

_LONGEST = 40
_SHORTEST = 5
_FARTHEST = 4 * _LONGEST + 4
"""Where the last chunk ends, at most."""
_DIGITS = f"0-9{''.join(NUMERALS)}"
_A_DIGIT = re.compile(f"[{_DIGITS}]")
_TWO_DIGITS = re.compile(f"[{_DIGITS}][^{_DIGITS}]*[{_DIGITS}]")
GROUPS: Final = re.compile(rf"[{_DIGITS}]+")
_CHUNK = re.compile(f"[a-z_{_DIGITS}]+")
_LONGEST_UNIT = 2 * WIDEST + 2
_UNIT = rf"_?[^\W_]{{1,{WIDEST}}}(?:_[^\W_]{{0,{WIDEST}}})?"


_FEWEST_BETWEEN = 4
"""Separators of a chain, from which it is no chance."""


def _chain(separator: str, fewest: int) -> re.Pattern[str]:
    """Pattern of short segments, whole words, with so many separators between them or more."""
    return re.compile(rf"(?<![a-z0-9_]){_UNIT}(?:{separator}{_UNIT}){{{fewest},}}(?![a-z0-9_])")


def _begun(separator: str) -> re.Pattern[str]:
    """Pattern of what such a chain has from its first separator to its fourth."""
    return re.compile(rf"(?:{separator}{_UNIT}){{{_FEWEST_BETWEEN - 1}}}{separator}")


_BY_SIGNS = [
    (
        _begun(separator),
        _chain(separator, _FEWEST_BETWEEN),
        _chain(separator, 1),
        re.compile(separator),
    )
    for separator in (rf"[{EMOJI}\ufe0e\ufe0f\u200d\u20e3]{{1,8}}", rf"[^\w\s{EMOJI}]")
]
_BETWEEN_BLANKS = r"[^\S\n](?<!\s.)(?!\s)"
_BY_BLANKS = _begun(_BETWEEN_BLANKS), _chain(_BETWEEN_BLANKS, _FEWEST_BETWEEN)
_BLANK = re.compile(r"[^\S\n]")
_LETTERS_THEN_DIGITS = re.compile(
    rf"[^{_DIGITS}]*[{_DIGITS}](?:[{_DIGITS}_]|[^\S\n](?=[{_DIGITS}_]))*"
)
"""What a handle may be among words that blanks part: `kat_99 for a bit` goes on in words."""
_SPOKEN: Final = {
    "ling": "0",
    "yi": "1",
    "er": "2",
    "san": "3",
    "si": "4",
    "wu": "5",
    "liu": "6",
    "qi": "7",
    "ba": "8",
    "jiu": "9",
    "dong": "0",
    "yao": "1",
    "liang": "2",
    "guai": "7",
    "gou": "9",
    "zero": "0",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
}
_A_SPOKEN = re.compile("|".join(sorted(_SPOKEN, key=len, reverse=True)))
_SPOKEN_NUMBER = re.compile(
    rf"(?<![a-z])(?:{_A_SPOKEN.pattern})(?:[ ,.\-]{{1,2}}(?:{_A_SPOKEN.pattern})){{4,20}}(?![a-z])"
)
"""Five digits or more in words of pinyin or English."""
_TIMES = "[ ]?[x×*][ ]?"
_SIZE = re.compile(
    rf"(?<![a-z0-9])(?:[a-z]{_TIMES}){{1,3}}[a-z][ :]{{0,2}}[0-9]{{1,5}}{_TIMES}[0-9]"
    rf"|[0-9]{_TIMES}[0-9]"
)
"""A size, such as `w x h 120 x 80 cm`: its letters are no handle."""
_TIMED = re.compile(f"[0-9]{_TIMES}[0-9]")
_USUAL = (" ", ".", "-")
"""Separators that stand in handles too, or between words."""
_SEPARATOR = re.compile(r"[^\w\s]{1,4}|[ ]")


class Reading(NamedTuple):
    """A text as it may be read.

    Attributes:
        text: the reading.
        places: of its characters in the text.
        is_put_together: whether it lacks what parts the pieces of handles.
    """

    text: str
    places: Sequence[int]
    is_put_together: bool = False


class Spread(NamedTuple):
    """A handle that is read by its shape.

    Attributes:
        value: without separators, digits as digits.
        end: place after it.
        separator: between its chunks, empty for none.
        has_numerals: whether it was written with Chinese numerals.
    """

    value: str
    end: int
    separator: str
    has_numerals: bool


def spread_handle(text: str, start: int) -> Spread | None:
    """The handle at a place of a plain text; None without one that has a few digits.

    Args:
        text: without compatibility forms and capitals.
        start: where it begins.
    """
    first = _CHUNK.match(text, start, start + _LONGEST)
    if first is None or _TWO_DIGITS.search(text, start, start + _FARTHEST) is None:
        return None
    chunks, separator = [first[0]], ""
    end = first.end()
    while len(first[0]) <= WIDEST and end - start < 3 * _LONGEST:
        between = _SEPARATOR.match(text, end)
        if between is None or (
            separator and between[0] != separator and not {between[0], separator}.isdisjoint(_USUAL)
        ):
            break
        following = _CHUNK.match(text, between.end(), between.end() + _LONGEST)
        if following is None or max(map(len, following[0].split("_"))) > len(first[0]):
            break
        if between[0] in _USUAL and len(following[0].replace("_", "")) > 1:
            break
        separator = between[0]
        chunks.append(following[0])
        end = following.end()
        if len(chunks) > 2 and len("".join(chunks).strip("_")) > _LONGEST:
            return None
        if len(following[0]) < len(first[0]):
            break  # the last one
    if len(chunks) == 2:  # two words, or a name with a dot
        chunks, separator, end = chunks[:1], "", first.end()
    written = "".join(chunks)
    value = written.translate(AS_DIGITS).strip("_")
    digits = sum(c.isdigit() for c in value)
    if not _SHORTEST <= len(value) <= _LONGEST or digits < FEWEST_DIGITS:
        return None
    has_numerals = any(c in NUMERALS for c in written)
    if has_numerals and not separator and digits < 4 and value.isdigit():
        return None  # a number in words
    return Spread(value, end, separator, has_numerals)


def spread_readings(text: str, letters: AbstractSet[str]) -> list[Reading]:
    """Readings of a text in which handles are spread.

    First with digits for numbers in words, then without what stands between.

    Args:
        text: without compatibility forms and capitals.
        letters: whole runs of its small Latin letters.
    """
    readings: list[Reading | None] = []
    if not letters.isdisjoint(_SPOKEN):
        readings.append(_spoken_numbers(text, behind=False))
        if readings[0] is not None:
            readings.append(_spoken_numbers(text, behind=True))
    return [each for each in (*readings, _put_together(text)) if each is not None]


def _put_together(text: str) -> Reading | None:
    """A text without the separators by which some of it is spread; None where nothing is.

    Where emoji or signs part five short segments, fewer that these part are joined too, such as the
    word that announces the handle. Blanks part honest words, so that only letters with digits
    behind them are joined. It is for finding handles alone.
    """
    apart = text
    if _TIMED.search(text):
        apart = _SIZE.sub(lambda match: "\n" * len(match[0]), text)
    spread: list[re.Match[str]] = []
    for begun, long, chain, separator in _BY_SIGNS:
        chains = _chains(begun, long, apart)
        known = {sign for match in chains for sign in separator.findall(match[0])}
        for match in chain.finditer(apart) if known else ():
            signs = [*separator.finditer(apart, *match.span())]
            is_list = is_series(GROUPS.findall(match[0]))
            spread += signs if not is_list and known.issuperset(sign[0] for sign in signs) else ()
    for match in _chains(*_BY_BLANKS, apart):
        handle = _LETTERS_THEN_DIGITS.match(apart, *match.span())
        blanks = [*_BLANK.finditer(apart, *handle.span())] if handle else []
        if handle is None or is_series(GROUPS.findall(handle[0])):
            continue
        if len(blanks) >= _FEWEST_BETWEEN and len(_A_DIGIT.findall(handle[0])) >= FEWEST_DIGITS:
            spread += blanks
    if not spread:
        return None
    kept = bytearray(b"\1") * len(text)
    for match in spread:
        kept[slice(*match.span())] = bytes(len(match[0]))
    places = [*compress(range(len(text)), kept)]
    return Reading("".join(compress(text, kept)), places, is_put_together=True)


def _chains(begun: re.Pattern[str], chain: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Matches of a chain, as `finditer` finds them, looked for only where one has begun."""
    end = at = 0
    while (found := begun.search(text, at)) is not None:
        at = found.start() + 1
        for start in range(max(end, found.start() - _LONGEST_UNIT), found.start()):
            match = chain.match(text, start)
            if match is not None:
                yield match
                at = end = match.end()
                break


def _spoken_numbers(text: str, *, behind: bool) -> Reading | None:
    """A text with digits for its numbers in words; None without one.

    Args:
        text: without compatibility forms and capitals.
        behind: a number is put to the word before it (`guu_ ba ba liu liu`).
    """
    parts, places, at = list[str](), list[int](), 0
    for match in _SPOKEN_NUMBER.finditer(text):
        words = [*_A_SPOKEN.finditer(text, *match.span())]
        end = match.start() - (behind and match.start() > at and text[match.start() - 1] == " ")
        parts += text[at:end], *(_SPOKEN[word[0]] for word in words)
        places += range(at, end)
        places += [*(word.start() for word in words[:-1]), match.end() - 1]
        at = match.end()
    if not at:
        return None
    return Reading("".join([*parts, text[at:]]), [*places, *range(at, len(text))])


def digits_in(number: str) -> tuple[str, tuple[Disguise, ...]]:
    """The digits of a number, and by what it is disguised."""
    digits = re.sub(r"[^0-9]", "", number.translate(AS_DIGITS))
    disguises: list[Disguise] = []
    if any(c in NUMERALS for c in number):
        disguises.append(Disguise.HOMOPHONE)
    groups = GROUPS.findall(number)
    if len(groups) > len(digits) // 2:
        disguises.append(parted_by(number))
    return digits, tuple(disguises)


def parted_by(split: str) -> Disguise:
    """By what the characters of a contact are parted."""
    if re.search(f"[{EMOJI}]", split):
        return Disguise.EMOJI_BETWEEN
    return Disguise.SPACED if " " in split else Disguise.PUNCTUATION_BETWEEN
