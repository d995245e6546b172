"""Tables of folding, read once from `tables.json`, which `generate` writes.

They are part of the folding version: the same in every Python release, unlike `unicodedata`.
"""

import json
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_export.contract.folding.classes import LIMIT, Class

Codes = NDArray[np.uint32]
Flags = NDArray[np.bool_]
_TAGS = (0xE0000, 0xE1000)
_PRIVATE = 0xF0000
"""Code points from here on are icons of fonts."""


class Tables(NamedTuple):
    """Tables over code points below `LIMIT`; a mapping has the code point itself for no change.

    Attributes:
        classes: `Class` of each, uint8.
        plain: compatibility form, case-folded, of one character.
        lengths: of the replacement, 1 where `plain` has it, uint8.
        first: place of the first character of a longer replacement in `expansions`.
        expansions: the longer replacements, one after the other.
        style: 1 full-width letters and digits, 2 mathematical, circled, squared ones, uint8.
        unaccented: letter of ASCII below an accent.
        latin: Latin letter that a letter looks like.
        capital: Latin letter, as a small one, that a capital looks like.
        cyrillic, greek: letter that a Latin letter looks like.
        han: Chinese character that a kana or radical looks like.
        simplified: of a traditional character.
        ambiguous: traditional characters that simplified texts write too.
        japanese: characters that Japan alone writes.
        phonetic: one character for each syllable of pinyin without its tone.
        syllables: that character of each syllable, in letters of ASCII and in Bopomofo.
        skeleton: letters and digits of ASCII for what looks like them; none of ASCII is mapped.
        fancy: likewise, with letters of any script that fancy lettering takes for Latin ones.
        inert: characters below U+20000, outside the scripts with look-alikes, that no table maps.
    """

    classes: NDArray[np.uint8]
    plain: Codes
    lengths: NDArray[np.uint8]
    first: NDArray[np.int32]
    expansions: Codes
    style: NDArray[np.uint8]
    unaccented: Codes
    latin: Codes
    capital: Codes
    cyrillic: Codes
    greek: Codes
    han: Codes
    simplified: Codes
    ambiguous: Flags
    japanese: Flags
    phonetic: Codes
    syllables: dict[str, str]
    skeleton: Codes
    fancy: Codes
    inert: frozenset[str]

    def classes_of(self, codes: Codes) -> NDArray[np.uint8]:
        """`Class` of each of any code points (N,)."""
        found = self.classes.take(codes, mode="clip")  # (N,)
        if len(codes) and int(codes.max()) >= _TAGS[0]:
            found[(codes >= _TAGS[0]) & (codes < _TAGS[1])] = Class.INVISIBLE
            found[codes >= _PRIVATE] = Class.EMOJI
        return found


def mapped(table: Codes, codes: Codes) -> Codes:
    """Code points (N,) after a mapping."""
    found = table.take(codes, mode="clip")  # (N,)
    beyond = codes >= LIMIT
    if beyond.any():
        found[beyond] = codes[beyond]
    return found


def translated(text: str, table: Codes) -> str:
    """Text after a mapping that leaves ASCII as it is; several times as fast as `str.translate`."""
    return text if text.isascii() else text_of(mapped(table, codes_of(text)))


def codes_of(text: str) -> Codes:
    """Code points of a text (N,), lone surrogates included."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint32)


def text_of(codes: Codes) -> str:
    """Text of code points (N,); undoes `codes_of`."""
    return codes.astype("<u4", copy=False).tobytes().decode("utf-32-le", "surrogatepass")


def _mapping(sides: list[str]) -> Codes:
    table = np.arange(LIMIT, dtype=np.uint32)
    table[codes_of(sides[0])] = codes_of(sides[1])
    return table


def _inert(found: Tables) -> frozenset[str]:
    codes = np.arange(0x20000, dtype=np.uint32)
    same = (found.plain[codes] == codes) & (found.lengths[codes] == 1) & (found.han[codes] == codes)
    same &= (found.simplified[codes] == codes) & (found.classes[codes] < Class.MARK)
    same &= (codes < 0x80) | (found.classes[codes] <= Class.BRACKET) | _is_usual(found, codes)
    same[list(map(ord, "\t\n\r"))] = True
    return frozenset(map(chr, codes[same & ((codes < 0xD800) | (codes >= 0xE000))].tolist()))


def _is_usual(found: Tables, codes: Codes) -> Flags:
    usual = np.isin(found.classes[codes], (Class.HAN, Class.KANA, Class.HANGUL))
    return usual | ((codes >= 0xE0) & (codes < 0x100)) | ((codes >= 0x430) & (codes < 0x460))


@cache
def tables() -> Tables:
    """The tables of this release's folding version."""
    file = resources.files("model_export.contract.folding").joinpath("tables.json")
    read: dict[str, Any] = json.loads(file.read_bytes())
    starts = np.array([row[0] for row in read["classes"]] + [LIMIT])
    kinds = np.array([row[1] for row in read["classes"]], np.uint8)
    lengths, first = np.ones(LIMIT, np.uint8), np.zeros(LIMIT, np.int32)
    expanded: dict[str, str] = read["expanded"]
    place = 0
    for char, to in expanded.items():
        lengths[ord(char)], first[ord(char)] = len(to), place
        place += len(to)
    style = np.zeros(LIMIT, np.uint8)
    style[codes_of(read["full_width"])] = 1
    style[codes_of(read["styled"])] = 2
    ambiguous, japanese = np.zeros(LIMIT, np.bool_), np.zeros(LIMIT, np.bool_)
    ambiguous[codes_of(read["ambiguous"])] = True
    japanese[codes_of(read["japanese"])] = True
    found = Tables(
        classes=np.repeat(kinds, np.diff(starts)),
        plain=_mapping(read["plain"]),
        lengths=lengths,
        first=first,
        expansions=codes_of("".join(expanded.values())),
        style=style,
        unaccented=_mapping(read["unaccented"]),
        latin=_mapping(read["latin"]),
        capital=_mapping(read["capital"]),
        cyrillic=_mapping(read["cyrillic"]),
        greek=_mapping(read["greek"]),
        han=_mapping(read["han"]),
        simplified=_mapping(read["simplified"]),
        ambiguous=ambiguous,
        japanese=japanese,
        phonetic=_mapping(read["phonetic"]),
        syllables=read["syllables"],
        skeleton=_mapping(read["skeleton"]),
        fancy=_mapping(read["fancy"]),
        inert=frozenset(),
    )
    found.classes[-1] = Class.OTHER  # of everything beyond, by `mode="clip"`
    return found._replace(inert=_inert(found))
