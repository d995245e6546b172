"""Folding: a text as it reads without its disguises, and which of them were undone where.

Passes over the characters as arrays, one stage after the other, until nothing changes: letters
that were spaced and of two scripts become a word in the first pass and one script in the second. A
text that still changes after `_MOST_PASSES` keeps its plain characters (case, compatibility forms),
so that folding is idempotent by construction. Time is linear in the length.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from model_export.contract.folding.characters import plain, unmarked, visible
from model_export.contract.folding.leet import spelt
from model_export.contract.folding.letters import Letters, Stage, Undone
from model_export.contract.folding.scripts import chinese, one_script
from model_export.contract.folding.separators import joined
from model_export.contract.folding.tables import codes_of, text_of

FOLDING_VERSION = 1
"""Version of the rules and tables. Version 0 is the normalisation of `text.normalise` alone."""

_MOST_PASSES = 4
_CHARACTERS: tuple[Stage, ...] = (visible, plain)
_STAGES: tuple[Stage, ...] = (*_CHARACTERS, unmarked, one_script, chinese, joined, spelt)
_SIMPLE = re.compile(r"[\t\n\r -~]*")
_PERHAPS_LEET = re.compile(r"[A-Za-z][0-9@$!]+[A-Za-z]")
_PERHAPS_APART = re.compile(r"(?<![0-9A-Za-z])(?:[0-9A-Za-z]{1,2}[^0-9A-Za-z]+){2}[0-9A-Za-z]{1,2}")


class Folded(NamedTuple):
    """A text without its disguises.

    Attributes:
        text: folded; blanks are kept as they are.
        origins: place in the original of each character of `text`, non-decreasing.
        undone: what was undone, and where in the original, by place.
    """

    text: str
    origins: Sequence[int]
    undone: tuple[Undone, ...]


def fold(text: str) -> Folded:
    """Fold a text; any `str` is accepted, lone surrogates included."""
    if _is_simple(text):
        return Folded(text.lower(), range(len(text)), ())
    letters = _pass(text, range(len(text)), _STAGES)
    for _ in range(_MOST_PASSES - 1):
        folded = text_of(letters.codes)
        if folded == text or _is_simple(folded) and folded == folded.lower():
            return _answer(letters, folded)
        again = _pass(folded, letters.origins, _STAGES)
        if text_of(again.codes) == folded:
            return _answer(letters, folded)
        again.undone[:0] = letters.undone
        letters = again
    letters = _pass(text, range(len(text)), _CHARACTERS)
    return _answer(letters, text_of(letters.codes))


def readable_pass(text: str) -> tuple[str, Sequence[int], Sequence[Undone]]:
    """A text with plain characters and scripts, its words as they stand: origins and undone too."""
    letters = _pass(text, range(len(text)), (*_CHARACTERS, unmarked, one_script, chinese))
    return text_of(letters.codes), letters.origins.tolist(), letters.undone


def _is_simple(text: str) -> bool:
    if not text.isascii() or _SIMPLE.fullmatch(text) is None:
        return False
    return _PERHAPS_LEET.search(text) is None and _PERHAPS_APART.search(text) is None


def _pass(text: str, origins: Sequence[int], stages: Sequence[Stage]) -> Letters:
    letters = Letters(codes_of(text), np.asarray(origins, np.int64))
    for stage in stages:
        if len(letters.codes):
            letters = stage(letters)
    return letters


def _answer(letters: Letters, text: str) -> Folded:
    undone = tuple(sorted(set(letters.undone), key=lambda each: (each.start, each.end)))
    return Folded(text, letters.origins.tolist(), undone)


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
    first, last = folded.origins[start], folded.origins[end - 1] + 1
    found = original[first:last].strip()
    return found if len(found) <= most else found[: max(0, most - 1)].rstrip() + "…"
