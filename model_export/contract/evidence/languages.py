"""What a translation leaves of a text, beside its names: another script, and numbers.

Nobody translates `2021`, `12` or 九: whatever the language, they are told in digits or in a few
characters.
"""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model_export.contract.folding.contacts.handles import AS_DIGITS

NO_LETTERS: Final = -1
"""In place of the share of a profile whose texts have none."""
TENTHS_APART, MOST_OF_LATIN = 3, 3
"""Shares of foreign letters that differ so far, the smaller one no larger than this, are those of
two languages. Names that stand in another script than the words around them are more than a tenth
of many texts, and half of few; a Chinese text with an English word in each sentence is Chinese."""
LONGEST_NUMBER = 6
"""Digits of a number. Longer ones are contacts, which have a channel of their own."""

Shares = NDArray[np.int8]
_LETTERS = re.compile(r"[^\W\d_]+")
_LATIN = re.compile(r"[a-z\u00df-\u00f6\u00f8-\u024f\u1e00-\u1eff]+")
_GREEK_OR_CYRILLIC = re.compile(r"(?<![^\W\d_])[\u0370-\u052f]{2,}(?![^\W\d_])")
_ONES = "一二三四五六七八九"
_DIGITS = f"零〇两{_ONES}"
_TENS = f"[{_ONES}]?十[{_ONES}]?"
_NUMBER = re.compile(
    rf"(?<![a-z0-9._])[0-9]{{1,{LONGEST_NUMBER}}}(?!\.?[0-9])(?=(?:am|pm)?(?![a-z]))"
    rf"|(?<![{_DIGITS}十百千万亿])"
    rf"(?:[两{_ONES}]百(?:[零〇][{_ONES}]|[{_ONES}]十[{_ONES}]?)?|{_TENS}|[{_DIGITS}]"
    rf"|(?!(.)\1(.)\2)[零〇{_ONES}]{{2,4}})"  # 七七八八 and its like are words
    rf"(?![{_DIGITS}十百千万亿])"
)


def foreign_tenths(folded: Sequence[str], spelt: Sequence[str]) -> int:
    """Tenths of the letters of texts that are not Latin ones; `NO_LETTERS` without any.

    Args:
        folded: the texts.
        spelt: the same by look (see `sides.sounds_like`): what looks like a Latin letter is one,
            but in a word of Greek or Cyrillic, where letters look so by nature.
    """
    text = "\n".join(spelt)
    if not text.isascii():
        given = "\n".join(folded)
        parts, at = list[str](), 0
        for match in _GREEK_OR_CYRILLIC.finditer(given):
            parts += text[at : match.start()], match[0]
            at = match.end()
        text = "".join([*parts, text[at:]])
    letters = sum(map(len, _LETTERS.findall(text)))
    if not letters:
        return NO_LETTERS
    return round(10 - 10 * sum(map(len, _LATIN.findall(text))) / letters)


def are_two_scripts(one: Shares, other: Shares) -> NDArray[np.bool_]:
    """Whether much more of one side's texts than of the other's is foreign, of each pair."""
    less = np.minimum(one, other)
    is_latin = (less != NO_LETTERS) & (less <= MOST_OF_LATIN)
    return is_latin & (np.maximum(one, other) - less >= TENTHS_APART)


def numbers_in(folded: Sequence[str]) -> set[int]:
    """Numbers that folded texts name, in digits or in Chinese characters."""
    return {_value(found[0]) for found in _NUMBER.finditer("\n".join(folded))}


def _value(written: str) -> int:
    hundreds, _, below = written.translate(AS_DIGITS).rpartition("百")
    tens, ten, ones = below.rpartition("十")
    return 100 * int(hundreds or 0) + (10 * int(tens or 1) if ten else 0) + int(ones or 0)
