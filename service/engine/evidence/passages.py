"""Passages that two lists of folded texts share, the longest first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model_export.contract.folding.romanised import words_in

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


def romanised_names(ours: Sequence[str], theirs: Sequence[str], most: int) -> list[Passage]:
    """At most so many Chinese names of one side that the other writes in Latin letters."""
    if most <= 0:
        return []
    found = [
        *_romanised(ours, theirs),
        *(
            Passage(p.other, p.other_start, p.other_end, p.one, p.one_start, p.one_end, p.letters)
            for p in _romanised(theirs, ours)
        ),
    ]
    return found[:most]


def _romanised(latin: Sequence[str], chinese: Sequence[str]) -> Iterator[Passage]:
    """Passages of Latin texts, each with what it reads as in the Chinese ones."""
    known: dict[str, tuple[int, int, int]] = {}
    for j, (letters, places) in enumerate(_compact(chinese)):
        for at in range(0 if letters.isascii() else len(letters) - _WINDOW + 1):
            span = places[at], places[at + _WINDOW - 1] + 1
            known.setdefault(letters[at : at + _WINDOW], (j, *span))
    taken: set[str] = set()
    for i, text in enumerate(latin if known else ()):
        for start, end, parts in words_in(text):
            read = [known[part] for part in parts if part in known]
            if read and text[start:end] not in taken:
                taken.add(text[start:end])
                yield Passage(i, start, end, *_longest(read), _WINDOW)


def _longest(places: Sequence[tuple[int, int, int]]) -> tuple[int, int, int]:
    """The longest span of places that overlap or touch, each a text with its start and end."""
    spans: list[tuple[int, int, int]] = []
    for text, start, end in sorted(places):
        if spans and spans[-1][0] == text and start <= spans[-1][2]:
            spans[-1] = text, spans[-1][1], max(end, spans[-1][2])
        else:
            spans.append((text, start, end))
    return max(spans, key=lambda span: span[2] - span[1])


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
