"""Disguises of Chinese text: other forms, other characters of one sound, numerals as words."""

import random
from collections import defaultdict
from functools import cache

from opencc import OpenCC
from pypinyin import Style, lazy_pinyin, pinyin

_NUMERALS = (
    "零一二三四五六七八九",
    "零壹贰叁肆伍陆柒捌玖",
    "〇壹貳叁肆伍陸柒捌玖",
    "洞幺二三四五六拐八勾",
)
_DIALECTS = ("s2t", "s2tw", "s2hk")
_FIRST_ROW, _LAST_ROW = 16, 55
"""Rows of GB 2312 with the 3,755 characters in everyday use."""


def is_chinese(c: str) -> bool:
    """Whether a character is a unified ideograph of the basic block."""
    return "\u4e00" <= c <= "\u9fff"


def traditional(text: str, rng: random.Random) -> str:
    """Traditional characters, as written in one of three places."""
    return _converter(rng.choice(_DIALECTS)).convert(text)


@cache
def _converter(name: str) -> OpenCC:
    return OpenCC(name)


def homophones(text: str, rng: random.Random) -> str:
    """Half of the Chinese characters or more become others of one sound, a few become pinyin."""
    rate, latin = rng.uniform(0.5, 0.95), rng.choice((0.0, 0.0, 0.1))
    readings = [sound[0] for sound in pinyin(list(text), style=Style.TONE3)]
    same_tone, same_sound = _by_sound()
    made = []
    for c, reading in zip(text, readings, strict=True):
        if not is_chinese(c) or rng.random() > rate:
            made.append(c)
            continue
        sound = reading.rstrip("12345")
        others = [o for o in same_tone.get(reading, "") if o != c]
        if not others or rng.random() < 0.3:
            others = [o for o in same_sound.get(sound, "") if o != c]
        made.append(sound if rng.random() < latin or not others else rng.choice(others))
    return "".join(made)


def latin_name(text: str) -> str:
    """A name in Latin letters, as on a translated profile."""
    return "".join(lazy_pinyin(text)).title()


def numerals(digits: str, rng: random.Random) -> str:
    """Digits as Chinese numerals of one kind."""
    table = rng.choice(_NUMERALS)
    return "".join(table[int(c)] if c.isdigit() and c.isascii() else c for c in digits)


@cache
def _by_sound() -> tuple[dict[str, str], dict[str, str]]:
    """Characters in everyday use by reading with tone, and without."""
    codes = (
        bytes((0xA0 + row, 0xA0 + cell))
        for row in range(_FIRST_ROW, _LAST_ROW + 1)
        for cell in range(1, 95)
    )
    characters = [c for code in codes if (c := code.decode("gb2312", errors="ignore"))]
    with_tone: defaultdict[str, str] = defaultdict(str)
    without: defaultdict[str, str] = defaultdict(str)
    for c, (reading, *_) in zip(characters, pinyin(characters, style=Style.TONE3), strict=True):
        with_tone[reading] += c
        without[reading.rstrip("12345")] += c
    return dict(with_tone), dict(without)
