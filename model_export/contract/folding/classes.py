"""Classes of characters that folding tells apart."""

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
