"""Handles that are written apart or with numerals: `g·u·u·_·8`, `guu_捌捌六六`, `gu❤u_❤88`.

What follows an announcing word is read as chunks of handle characters. Chunks of one size with the
same separator between them, or with any signs that stand in no handle, are one handle; blanks, dots
and dashes separate single characters only. Linear: a handle has at most `_LONGEST` characters.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

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

_LONGEST = 40
_SHORTEST = 5
_WIDEST = 3
"""Characters of a chunk between separators, at most."""
_CHUNK = re.compile(f"[a-z0-9_{''.join(NUMERALS)}]+")
_UNIT = r"_?[^\W_]{1,3}(?:_[^\W_]{0,3})?"
_APART = [
    (
        re.compile(rf"(?<![^\W_]){_UNIT}(?:{between}{_UNIT}){{4}}"),
        re.compile(rf"(?<=\w){between}(?=\w)"),
    )
    for between in (
        r"[\u2190-\u2bff\U0001f000-\U0001faff\ufe0e\ufe0f\u200d\u20e3]{1,8}",
        r"[^\w\s\u2190-\u2bff\U0001f000-\U0001faff]",
        r"(?<!\s)[^\S\n](?!\s)",
    )
]
"""Five short segments apart by emoji, signs or blanks; and where such a text is put together."""
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
_USUAL = (" ", ".", "-")
"""Separators that stand in handles too, or between words."""
_SEPARATOR = re.compile(r"[^\w\s]{1,4}|[ ]")
_DATE = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")


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
    if first is None:
        return None
    chunks, separator = [first[0]], ""
    end = first.end()
    while len(first[0]) <= _WIDEST and end - start < 3 * _LONGEST:
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


def put_together(text: str) -> tuple[str, Sequence[int]] | None:
    """A text without the separators by which some of it is spread, with places of its characters.

    None where nothing is spread. Other words that the same separators join are joined too: it is
    for finding handles alone.
    """
    apart = _SIZE.sub(lambda match: "\n" * len(match[0]), text)
    spread = [
        match.span()
        for chain, all_of in _APART
        if chain.search(apart)
        for match in all_of.finditer(apart)
    ]
    if not spread:
        return None
    dropped = {place for start, end in spread for place in range(start, end)}
    places = [place for place in range(len(text)) if place not in dropped]
    return "".join(text[place] for place in places), places


def spoken_numbers(text: str, *, behind: bool) -> tuple[str, Sequence[int]] | None:
    """A text with digits for its numbers in words, with places of its characters; None without.

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
    return ("".join([*parts, text[at:]]), [*places, *range(at, len(text))]) if at else None


def is_date(digits: str) -> bool:
    """Whether a number may be a day."""
    return _DATE.fullmatch(digits) is not None
