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
    DIGIT = 5
    LATIN = 6
    CYRILLIC = 7
    GREEK = 8
    ALPHABET = 9
    HAN = 10
    KANA = 11
    HANGUL = 12
    RIGHT_TO_LEFT = 13
    LETTER = 14
    MARK = 15
    OTHER_MARK = 16
    ZERO_WIDTH = 17
    BIDI = 18
    INVISIBLE = 19
