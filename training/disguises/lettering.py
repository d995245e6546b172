"""Disguises that swap letters for characters that look alike, one for one."""

import random
import unicodedata
from collections import defaultdict
from collections.abc import Callable
from functools import cache

_LOOK_ALIKES = {
    "a": "аɑαᥲ⍺ạ",
    "b": "ЬƄьᖯ",
    "c": "сϲⅽᴄⲥ",
    "d": "ԁⅾᏧᑯ",
    "e": "еҽ℮ẹ",
    "f": "ƒϝẝꞙ",
    "g": "ɡցᶃ",
    "h": "һհᏂ",
    "i": "іıɩᎥⅰ",
    "j": "јϳյ",
    "k": "κкᴋⲕ",
    "l": "ⅼӏ|ⲓ",
    "m": "ⅿмᴍ",
    "n": "ոռп",
    "o": "оοօ໐ഠ൦ⲟ",
    "p": "рρϱⲣ",
    "q": "ԛգզ",
    "r": "гᴦⲅ",
    "s": "ѕꜱʂ",
    "t": "тᴛτ",
    "u": "υսᴜꞟ",
    "v": "ѵνᴠⅴ",
    "w": "ԝաᴡѡ",
    "x": "хⅹχ᙮",
    "y": "уγỿყ",
    "z": "ᴢʐⲍ",
    "A": "АΑᎪᗅꓮ",
    "B": "ВΒᏴꓐ",
    "C": "СϹᏟꓚⅭ",
    "D": "ᎠꓓⅮᗞ",
    "E": "ЕΕᎬꓰ",
    "F": "Ϝꓝᖴ",
    "G": "Ԍꓖ",
    "H": "НΗᎻꓧ",
    "I": "ІΙӀꓲⅠ",
    "J": "ЈᎫꓙ",
    "K": "КΚᏦꓗ",
    "L": "Ꮮꓡⅼ",
    "M": "МΜᎷꓟ",
    "N": "Νꓠ",
    "O": "ОΟՕꓳ",
    "P": "РΡᏢꓑ",
    "Q": "Ԛⵕ",
    "R": "ᎡꓣᖇƦ",
    "S": "ЅՏꓢ",
    "T": "ТΤᎢꓔ",
    "U": "Սꓴሀ",
    "V": "ѴᏙꓦⅤ",
    "W": "ԜᎳꓪ",
    "X": "ХΧꓫⅩ",
    "Y": "ҮΥꓬ",
    "Z": "ΖᏃꓜ",
    "0": "Оο",
    "1": "lІ",
    "2": "ƧᒿꙄ",
    "3": "ЗƷӠ",
    "5": "Ƽ",
    "6": "б",
    "8": "ȢᲖ",
    "9": "գ",
    "日": "曰",
    "曰": "日",
    "口": "囗",
    "土": "士",
    "士": "土",
    "己": "已",
    "已": "巳",
    "未": "末",
    "末": "未",
    "人": "入",
    "天": "夭",
    "大": "犬",
    "干": "千",
    "戊": "戌",
    "拔": "拨",
    "晴": "睛",
    "候": "侯",
    "微": "徽",
    "薇": "蔷",
    "卖": "买",
    "免": "兔",
    "直": "真",
    "间": "问",
    "令": "今",
}
"""Characters that a reader takes for the key; chosen by eye, from many scripts."""  # fmt: skip

_LEET = {
    "a": "4@", "b": "8", "c": "(<", "e": "3€", "g": "96", "h": "#", "i": "1!", "l": "1|",
    "o": "0", "q": "9", "s": "5$", "t": "7+", "z": "2", "x": "%",
}  # fmt: skip

_ACCENTS = "̖̗̣̤̥̭̮̰̱̀́̂̃̄̆̇̈̊̋̌̒̓̏̑"
_STRIKES = "̴̵̶̷̸"
_FULL_WIDTH = 0xFEE0
_SHAPES = ("WITH STROKE", "WITH HOOK", "WITH TAIL", "WITH BAR", "WITH MIDDLE TILDE")


@cache
def _homoglyphs() -> dict[str, str]:
    """Own list, letters with a stroke or hook, and Chinese characters by their decompositions."""
    found: defaultdict[str, str] = defaultdict(str, _LOOK_ALIKES)
    for code in (*range(0x180, 0x250), *range(0x1D60, 0x1DC0), *range(0xA740, 0xA7C0)):
        name = unicodedata.name(chr(code), "")
        words = name.split()
        latin = len(words) > 4 and name.startswith("LATIN") and name.endswith(_SHAPES)
        if latin and words[2] == "LETTER" and len(words[3]) == 1:
            letter = words[3].lower() if words[1] == "SMALL" else words[3]
            found[letter] += chr(code)
    radicals = (*range(0x2F00, 0x2FD6), *range(0xF900, 0xFADA), 0x2E9F, 0x2EF3)
    for code in (*radicals, *range(0x2F800, 0x2FA1E)):
        plain = unicodedata.normalize("NFKC", chr(code))
        if plain != chr(code) and len(plain) == 1:
            found[plain] += chr(code)
    return dict(found)


def homoglyphs(text: str, rng: random.Random) -> str:
    """Every letter that has a look-alike becomes one; three quarters of the Chinese characters."""
    table = _homoglyphs()

    def swapped(c: str) -> str:
        keep = c not in table or (not c.isascii() and rng.random() < 0.25)
        return c if keep else rng.choice(table[c])

    return "".join(map(swapped, text))


def one_homoglyph_a_word(text: str, rng: random.Random) -> str:
    """One letter of each word becomes a look-alike; of Chinese text, one character in four."""
    table, made = _homoglyphs(), list(text)
    for start, end in _words(text):
        places = [i for i in range(start, end) if text[i] in table]
        if places:
            i = rng.choice(places)
            made[i] = rng.choice(table[text[i]])
    return "".join(made)


def leetspeak(text: str, rng: random.Random) -> str:
    """Letters become digits and signs, at one rate for the whole text."""
    rate = rng.uniform(0.6, 1.0)
    style = {letter: rng.choice(signs) for letter, signs in _LEET.items()}
    return "".join(
        style[c.lower()] if c.lower() in style and rng.random() < rate else c for c in text
    )


def combining(text: str, rng: random.Random) -> str:
    """One to three combining marks on most letters; or a line through all of them."""
    if rng.random() < 0.3:
        strike = rng.choice(_STRIKES)
        return "".join(c + strike if c.isalnum() else c for c in text)
    most = rng.randint(1, 3)
    return "".join(
        c + "".join(rng.choices(_ACCENTS, k=rng.randint(1, most)))
        if c.isalnum() and rng.random() < 0.8
        else c
        for c in text
    )


def full_width(text: str, rng: random.Random) -> str:
    """ASCII in its full-width forms, kana in their half-width ones; spaces at times."""
    wide_space = rng.random() < 0.5
    kana = _half_width_kana()

    def widened(c: str) -> str:
        if "!" <= c <= "~":
            return chr(ord(c) + _FULL_WIDTH)
        return "\u3000" if c == " " and wide_space else kana.get(c, c)

    return "".join(map(widened, text))


@cache
def _half_width_kana() -> dict[str, str]:
    """Katakana -> its half-width form, by the decompositions of Unicode."""
    pairs = ((unicodedata.normalize("NFKC", chr(c)), chr(c)) for c in range(0xFF66, 0xFF9E))
    return {plain: half for plain, half in pairs if len(plain) == 1}


def mathematical(text: str, rng: random.Random) -> str:
    """Letters and digits of one mathematical, circled or squared alphabet."""
    alphabets = _alphabets()
    letters = alphabets[rng.choice(sorted(alphabets))]
    return "".join(letters.get(c) or letters.get(c.upper()) or c for c in text)


@cache
def _alphabets() -> dict[str, dict[str, str]]:
    """Alphabet -> ASCII letter -> its letter, by the names of Unicode."""
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    styled = {"CAPITAL": str.upper, "SMALL": str.lower}
    blocks = (range(0x1D400, 0x1D800), range(0x2460, 0x24EB), range(0x1F110, 0x1F18A))
    for code in (c for block in blocks for c in block):
        name = unicodedata.name(chr(code), "").replace(" LATIN", "")
        style, _, rest = name.partition(" CAPITAL " if " CAPITAL " in name else " SMALL ")
        letter = rest.rpartition(" ")[2] if rest else ""
        if len(letter) == 1 and rest in (letter, f"LETTER {letter}"):
            case: Callable[[str], str] = styled["CAPITAL" if " CAPITAL " in name else "SMALL"]
            found[style][case(letter)] = chr(code)
        elif name.startswith("MATHEMATICAL") and " DIGIT " in name:
            style = name.partition(" DIGIT ")[0]
            found[style][str(unicodedata.digit(chr(code)))] = chr(code)
    for code in range(0x2102, 0x2139):  # letters that the mathematical block leaves out
        base = unicodedata.normalize("NFKC", chr(code))
        word = unicodedata.name(chr(code), "").partition(" ")[0]
        style = {"SCRIPT": "MATHEMATICAL SCRIPT", "BLACK-LETTER": "MATHEMATICAL FRAKTUR"}.get(word)
        if style and len(base) == 1 and base.isascii():
            found[style].setdefault(base, chr(code))
    found["MATHEMATICAL ITALIC"].setdefault("h", "\u210e")
    return {style: letters for style, letters in found.items() if len(letters) >= 26}


def _words(text: str) -> list[tuple[int, int]]:
    """Start and end of words; of runs of Chinese or kana, parts of four."""
    found, start = [], 0
    for i in range(len(text) + 1):
        long = i - start >= 4 and not text[start].isascii()
        if i == len(text) or not text[i].isalnum() or long:
            if i > start:
                found.append((start, i))
            start = i if long and i < len(text) and text[i].isalnum() else i + 1
    return found
