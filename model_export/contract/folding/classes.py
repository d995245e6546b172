"""Classes of characters that folding tells apart; `generate` writes those of all characters."""

import unicodedata
from collections.abc import Iterable
from enum import IntEnum

LIMIT = 0x32400
"""Code points from here on are of class `OTHER` and are never mapped, tags excepted."""


class Class(IntEnum):
    """Class of a character; the order makes groups of classes contiguous."""

    OTHER = 0
    BLANK = 1
    LIST = 2
    PUNCTUATION = 3
    EMOJI = 4
    BRACKET = 5
    DIGIT = 6
    LATIN = 7
    CYRILLIC = 8
    GREEK = 9
    ALPHABET = 10
    HAN = 11
    KANA = 12
    HANGUL = 13
    RIGHT_TO_LEFT = 14
    LETTER = 15
    MARK = 16
    OTHER_MARK = 17
    ZERO_WIDTH = 18
    BIDI = 19
    INVISIBLE = 20


_LIST = ",;/|·・、؛،｜；，／"
_NAMES = (
    ("LATIN", Class.LATIN),
    ("CYRILLIC", Class.CYRILLIC),
    ("GREEK", Class.GREEK),
    ("COPTIC", Class.ALPHABET),
    ("ARMENIAN", Class.ALPHABET),
    ("CHEROKEE", Class.ALPHABET),
    ("LISU", Class.ALPHABET),
    ("GEORGIAN", Class.ALPHABET),
    ("DESERET", Class.ALPHABET),
    ("MICRO SIGN", Class.GREEK),
    ("CJK UNIFIED", Class.HAN),
    ("CJK COMPATIBILITY IDEOGRAPH", Class.HAN),
    ("IDEOGRAPHIC", Class.HAN),
    ("HIRAGANA", Class.KANA),
    ("KATAKANA", Class.KANA),
    ("HALFWIDTH KATAKANA", Class.KANA),
    ("HANGUL", Class.HANGUL),
    ("HEBREW", Class.RIGHT_TO_LEFT),
    ("ARABIC", Class.RIGHT_TO_LEFT),
    ("SYRIAC", Class.RIGHT_TO_LEFT),
    ("THAANA", Class.RIGHT_TO_LEFT),
    ("NKO", Class.RIGHT_TO_LEFT),
)
_BIDI = {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
_ZERO_WIDTH = {0x200B, 0x200C, 0x200D, *range(0x2060, 0x2065), 0xFEFF, 0x180E, 0x034F}
_INVISIBLE = {
    *range(0x09),
    *range(0x0E, 0x1C),
    *range(0x7F, 0x85),
    *range(0x86, 0xA0),
    *(0x00AD, 0x0640, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0),
    *range(0x180B, 0x1810),
    *range(0x206A, 0x2070),
    *range(0xFE00, 0xFE10),
    *range(0xFFF0, 0xFFFC),
    *range(0x1BCA0, 0x1BCA4),
    *range(0x1D173, 0x1D17B),
}
_MARKS = ((0x0300, 0x036F), (0x0483, 0x0489), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF))
_MORE_MARKS = ((0x20D0, 0x20FF), (0xFE20, 0xFE2F), (0x3099, 0x309A))
_SYMBOLS = ((0x2190, 0x2BFF), (0x1F000, 0x1FAFF))


def _inside(code: int, ranges: Iterable[tuple[int, int]]) -> bool:
    return any(first <= code <= last for first, last in ranges)


def class_of(char: str) -> Class:  # noqa: C901 (one list of cases, in order)
    """Class of a character, before any mapping."""
    code = ord(char)
    category = unicodedata.category(char)
    if code in _BIDI:
        return Class.BIDI
    if code in _ZERO_WIDTH:
        return Class.ZERO_WIDTH
    if code in _INVISIBLE:
        return Class.INVISIBLE
    if char.isspace():
        return Class.BLANK
    if _inside(code, _MARKS + _MORE_MARKS):
        return Class.MARK
    if category[0] == "M":
        return Class.OTHER_MARK
    if "0" <= char <= "9":
        return Class.DIGIT
    if char in _LIST:
        return Class.LIST
    if category in ("Ps", "Pe", "Pi", "Pf") or char in "\"'`=<>":
        return Class.BRACKET
    if category in ("Cf", "Co"):
        return Class.INVISIBLE if category == "Cf" else Class.EMOJI  # private use is icons of fonts
    if category[0] == "L" and category != "Lm":
        name = unicodedata.name(char, "")
        return next((known for start, known in _NAMES if name.startswith(start)), Class.LETTER)
    if category[0] in "LN":
        return Class.KANA if char in "ーヽヾゝゞ" else Class.LETTER
    if _inside(code, _SYMBOLS):
        return Class.EMOJI
    return Class.PUNCTUATION if category[0] in "PS" else Class.OTHER
