"""Folding: a text as it reads without its disguises, and which of them were undone where.

Passes over the characters as arrays, one stage after the other, until nothing changes: letters
that were spaced and of two scripts become a word in the first pass and one script in the second. A
text that still changes after `_MOST_PASSES` keeps its plain characters (case, compatibility forms),
so that folding is idempotent by construction. Time is linear in the length.
"""

import re
import unicodedata
from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from model_export.contract.folding.characters import plain, unmarked, upright, visible
from model_export.contract.folding.leet import spelt
from model_export.contract.folding.letters import Letters, Span, Stage, Undone
from model_export.contract.folding.scripts import chinese, one_script
from model_export.contract.folding.separators import joined
from model_export.contract.folding.tables import codes_of, tables, text_of

FOLDING_VERSION = 5
"""Version of the rules and tables. Version 0 is the normalisation of `text.normalise` alone."""

_MOST_PASSES = 4
_JOINER = "\u200d"
_MOST_JOINED = 16
"""Characters that one shown character is made of; texts of marks without end are cut anywhere."""
_LONG = 4096
"""Characters from which arrays are faster than patterns."""
_CHARACTERS: tuple[Stage, ...] = (visible, plain, upright)
_ONE_BY_ONE: tuple[Stage, ...] = (unmarked, one_script, chinese)
_WORDS: tuple[Stage, ...] = (joined, spelt)
# Texts of these characters that need no arrays, which is most of what is written: ASCII, letters of
# `Tables.inert` of usual scripts, usual punctuation, emoji without a selector.
_CONTENT = (
    r"0-9a-z\u00e0-\u00f6\u00f8-\u00ff\u0430-\u045f\uac00-\ud7a3"
    r"\u3041-\u3096\u30a1-\u30fa\u30fc\u4e00-\u9fff"
)
_SIGNS = r"\t\n\r -/:-@\[-`{-~\u3001-\u3003\u3008-\u3011\U0001f300-\U0001f64f\U0001f680-\U0001f6ff"
_USUAL = re.compile(rf"[{_CONTENT}{_SIGNS}]*")
_PERHAPS_LEET = re.compile(r"[a-z][0-9@$!]+[a-z]")
_PERHAPS_APART = re.compile(
    rf"(?<![{_CONTENT}])(?:[{_CONTENT}]{{1,2}}[{_SIGNS}]+){{2}}[{_CONTENT}]{{1,2}}(?![{_CONTENT}])"
)
_PERHAPS_ACCENTS = re.compile(r"[\u00e0-\u00ff]{2}")
_LATIN, _CYRILLIC = re.compile(r"[a-z\u00e0-\u00ff]"), re.compile(r"[\u0430-\u045f]")
_WIDTHS = str.maketrans(
    {chr(c + 0xFEE0): chr(c) for c in range(0x21, 0x7F) if not chr(c).isalnum()} | {"\u3000": " "}
)


class Folded(NamedTuple):
    """A text without its disguises.

    Attributes:
        text: folded; blanks are kept as they are.
        origins: place in the original of each character of `text`, non-decreasing; in what was
            turned round that of another one, see `whole`.
        undone: what was undone, and where in the original, by place.
        turned: parts of the original that were turned round.
    """

    text: str
    origins: Sequence[int]
    undone: tuple[Undone, ...]
    turned: tuple[Span, ...] = ()


def fold(text: str) -> Folded:
    """Fold a text; any `str` is accepted, lone surrogates included."""
    usual = _usual(text)
    if usual is not None and not _may_be_disguised(usual):
        return Folded(usual, range(len(text)), ())
    plainer = _pass(_given(text), _CHARACTERS)
    return _settled(text, plainer, _pass(plainer, _ONE_BY_ONE))


def readable_and_folded(text: str) -> tuple[Folded, Folded]:
    """A text with plain characters and scripts, its words as they stand; and folded."""
    usual = _usual(text)
    if usual is not None:
        readable = Folded(usual, range(len(text)), ())
        return readable, fold(text) if _may_be_disguised(usual) else readable
    plainer = _pass(_given(text), _CHARACTERS)
    letters = _pass(plainer, _ONE_BY_ONE)
    return _answer(letters), _settled(text, plainer, letters)


def _settled(text: str, plainer: Letters, letters: Letters) -> Folded:
    """A text that is folded until nothing changes.

    Args:
        text: as it is written.
        plainer: its plain characters.
        letters: these after `_ONE_BY_ONE`.
    """
    before, letters = plainer.codes, _pass(letters, _WORDS)
    for _ in range(_MOST_PASSES):
        # Characters are plain after one pass (a test goes through all of them).
        if np.array_equal(letters.codes, before):
            return _answer(letters)
        again = _pass(letters.again(), (*_CHARACTERS, *_ONE_BY_ONE, *_WORDS))
        again.undone[:0] = letters.undone
        before, letters = letters.codes, again
    return _answer(_pass(_given(text), _CHARACTERS))


def _usual(text: str) -> str | None:
    """Text with other widths and case only; None where characters may be changed otherwise."""
    if len(text) > _LONG:
        return None
    lowered = (text if text.isascii() else text.translate(_WIDTHS)).lower()
    if len(lowered) != len(text) or _USUAL.fullmatch(lowered) is None:
        return None
    if lowered.isascii():
        return lowered
    if _PERHAPS_ACCENTS.search(lowered) or (_CYRILLIC.search(lowered) and _LATIN.search(lowered)):
        return None
    return lowered if tables().inert.issuperset(lowered) else None


def _may_be_disguised(usual: str) -> bool:
    """Whether more than widths and case may be undone of a text of `_usual`."""
    return bool(_PERHAPS_LEET.search(usual) or _PERHAPS_APART.search(usual))


def _given(text: str) -> Letters:
    codes = codes_of(text)
    return Letters(codes, np.arange(len(codes), dtype=np.int32), codes)


def _pass(letters: Letters, stages: Sequence[Stage]) -> Letters:
    for stage in stages:
        if len(letters.codes):
            letters = stage(letters)
    return letters


def _answer(letters: Letters) -> Folded:
    undone = sorted(set(letters.undone), key=lambda each: (each.start, each.end, each.disguise))
    origins = array("i", letters.origins.tobytes())
    return Folded(text_of(letters.codes), origins, tuple(undone), tuple(letters.turned))


def whole(span: Span, turned: Iterable[Span]) -> Span:
    """A span of the original, with all of what was turned round that it touches."""
    touched = [span, *(each for each in turned if each.start < span.end and span.start < each.end)]
    return Span(min(each.start for each in touched), max(each.end for each in touched))


def quote(original: str, folded: Folded, start: int, end: int, most: int = 40) -> str:
    """The original's words behind a span of the folded text.

    Args:
        original: what was folded.
        folded: the answer of `fold`.
        start: first place of the span in `folded.text`.
        end: place after its last.
        most: characters of the quote; a longer one ends with an ellipsis.
    """
    start, end = max(0, start), min(end, len(folded.text))
    if start >= end:
        return ""
    span = whole(Span(folded.origins[start], folded.origins[end - 1] + 1), folded.turned)
    end = span.end
    while end < len(original) and end - span.end < _MOST_JOINED and _goes_on(original, end):
        end += 1
    return cut(original[span.start : end].strip(), most)


def cut(text: str, most: int) -> str:
    """A text of at most so many characters; a longer one ends with an ellipsis.

    It is not cut before a mark, or within an emoji that several characters make.
    """
    if len(text) <= most:
        return text
    end = max(0, most - 1)
    whole_end = end
    while whole_end > 0 and end - whole_end < _MOST_JOINED and _goes_on(text, whole_end):
        whole_end -= 1
    if _goes_on(text, whole_end):  # marks without end
        whole_end = end
    return text[:whole_end].rstrip() + "…"


def _goes_on(text: str, place: int) -> bool:
    """Whether the character at a place is shown as a part of the one before."""
    if place == 0:
        return False
    before, letter = text[place - 1], text[place]
    is_tone = "\U0001f3fb" <= letter <= "\U0001f3ff"
    joined = _JOINER in (before, letter)
    return joined or is_tone or unicodedata.category(letter)[0] == "M"
