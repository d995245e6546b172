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
from model_export.contract.folding.tables import codes_of, tables, text_of

FOLDING_VERSION = 1
"""Version of the rules and tables. Version 0 is the normalisation of `text.normalise` alone."""

_MOST_PASSES = 4
_CHARACTERS: tuple[Stage, ...] = (visible, plain)
_STAGES: tuple[Stage, ...] = (*_CHARACTERS, unmarked, one_script, chinese, joined, spelt)
# Texts of these characters that need no arrays, which is most of what is written: ASCII, Chinese and
# kana of `Tables.inert`, usual punctuation, emoji without a selector.
_CONTENT = r"0-9a-z\u3041-\u3096\u30a1-\u30fa\u30fc\u4e00-\u9fff"
_SIGNS = r"\t\n\r -/:-@\[-`{-~\u3001-\u3003\u3008-\u3011\U0001f300-\U0001f64f\U0001f680-\U0001f6ff"
_USUAL = re.compile(rf"[{_CONTENT}{_SIGNS}]*")
_PERHAPS_LEET = re.compile(r"[a-z][0-9@$!]+[a-z]")
_PERHAPS_APART = re.compile(
    rf"(?<![{_CONTENT}])(?:[{_CONTENT}]{{1,2}}[{_SIGNS}]+){{2}}[{_CONTENT}]{{1,2}}(?![{_CONTENT}])"
)
_WIDTHS = str.maketrans(
    {chr(c + 0xFEE0): chr(c) for c in range(0x21, 0x7F) if not chr(c).isalnum()} | {"\u3000": " "}
)


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
    quick = _without_arrays(text)
    if quick is not None:
        return Folded(quick, range(len(text)), ())
    letters = _pass(text, range(len(text)), _STAGES)
    for _ in range(_MOST_PASSES - 1):
        folded = text_of(letters.codes)
        if folded == text or _without_arrays(folded) == folded:
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


def _without_arrays(text: str) -> str | None:
    """Folded text where only widths and case can differ; None where more may be undone."""
    lowered = (text if text.isascii() else text.translate(_WIDTHS)).lower()
    if _USUAL.fullmatch(lowered) is None or _PERHAPS_LEET.search(lowered) is not None:
        return None
    if len(lowered) != len(text) or _PERHAPS_APART.search(lowered) is not None:
        return None
    return lowered if lowered.isascii() or tables().inert.issuperset(lowered) else None


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
