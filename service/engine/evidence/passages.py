"""Passages that two lists of folded texts share, the longest first."""

from collections.abc import Sequence
from dataclasses import dataclass

_WINDOW = 3
_MOST_LETTERS = 20_000
"""Of each side; later ones are not looked at."""
_FEWEST_LETTERS = 4


@dataclass(frozen=True)
class Passage:
    """Letters that two folded texts share; places are those of the folded texts.

    Attributes:
        one, other: places of the texts in their lists.
        one_start, one_end: of the passage in the first text.
        other_start, other_end: in the other text.
        letters: without what stands between them.
    """

    one: int
    one_start: int
    one_end: int
    other: int
    other_start: int
    other_end: int
    letters: int


def common_passages(ours: Sequence[str], theirs: Sequence[str], most: int) -> list[Passage]:
    """At most so many passages of four letters and digits or more, the longest first.

    A greedy walk, linear in the length of the texts.
    """
    known: dict[str, tuple[int, int]] = {}
    others = _compact(theirs)
    for j, (letters, _) in enumerate(others):
        for at in range(len(letters) - _WINDOW + 1):
            known.setdefault(letters[at : at + _WINDOW], (j, at))
    found: list[Passage] = []
    for i, (letters, places) in enumerate(_compact(ours)):
        at = 0
        while at <= len(letters) - _WINDOW:
            begin = known.get(letters[at : at + _WINDOW])
            if begin is None:
                at += 1
                continue
            other, other_places = others[begin[0]]
            length = _WINDOW + _same(letters, at + _WINDOW, other, begin[1] + _WINDOW)
            if length >= _FEWEST_LETTERS:
                end, other_end = at + length - 1, begin[1] + length - 1
                places_of_it = places[at], places[end] + 1
                others_of_it = other_places[begin[1]], other_places[other_end] + 1
                found.append(Passage(i, *places_of_it, begin[0], *others_of_it, length))
            at += length - _WINDOW + 1
    return sorted(found, key=lambda passage: -passage.letters)[:most]


def _same(ours: str, at: int, theirs: str, begin: int) -> int:
    """How many letters agree from two places on."""
    length = 0
    while (
        at + length < len(ours)
        and begin + length < len(theirs)
        and ours[at + length] == theirs[begin + length]
    ):
        length += 1
    return length


def _compact(texts: Sequence[str]) -> list[tuple[str, list[int]]]:
    """The letters of each text, and where they were."""
    left = _MOST_LETTERS
    found: list[tuple[str, list[int]]] = []
    for text in texts:
        places = [at for at, letter in enumerate(text[: 2 * left]) if letter.isalnum()][:left]
        found.append(("".join(text[at] for at in places), places))
        left -= len(places)
    return found
