"""A text while it is folded: code points, where each stood, and what was undone."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_export.contract.folding.classes import Class
from model_export.contract.folding.tables import Codes, Flags, tables

Places = NDArray[np.int64]
Origins = NDArray[np.int32]

MOST_SPANS = 200
"""Spans reported per disguise and pass; the last one reaches to the end of the text."""
_NEAR = 8
"""Characters between two undone ones that are reported as one span."""


class Disguise(StrEnum):
    """What folding undoes."""

    CONFUSABLE = "confusable"
    COMBINING = "combining"
    FULL_WIDTH = "full_width"
    MATHEMATICAL = "mathematical"
    ZERO_WIDTH = "zero_width"
    BIDI = "bidi"
    EMOJI_BETWEEN = "emoji_between"
    PUNCTUATION_BETWEEN = "punctuation_between"
    SPACED = "spaced"
    LEETSPEAK = "leetspeak"
    TRADITIONAL = "traditional"
    HOMOPHONE = "homophone"


class Undone(NamedTuple):
    """A disguise that was undone, and its span in the original text."""

    disguise: Disguise
    start: int
    end: int


class Span(NamedTuple):
    """Start and end of a part of the original text."""

    start: int
    end: int


class Runs(NamedTuple):
    """Maximal runs of characters: start and end of each, ascending (R,)."""

    starts: Places
    ends: Places

    def sums(self, flags: Flags) -> Places:
        """Characters with a property in each run (R,)."""
        total = np.zeros(len(flags) + 1, np.int32)
        np.cumsum(flags, out=total[1:])
        return (total[self.ends] - total[self.starts]).astype(np.int64)

    def spread(self, chosen: Flags, size: int) -> Flags:
        """Characters (size,) of the chosen runs (R,)."""
        edges = np.zeros(size + 1, np.int8)
        edges[self.starts[chosen]] += 1
        edges[self.ends[chosen]] -= 1
        return np.cumsum(edges[:-1], dtype=np.int8).view(np.bool_)

    @classmethod
    def of(cls, inside: Flags) -> "Runs":
        """Runs of True."""
        edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
        if len(inside) and inside[0]:
            edges = np.concatenate(([0], edges))
        if len(edges) % 2:
            edges = np.concatenate((edges, [len(inside)]))
        return cls(edges[::2], edges[1::2])


@dataclass
class Letters:
    """Characters (N,) and their places in the original text.

    Attributes:
        codes: code points.
        origins: place in the original of each, non-decreasing.
        source: code points of the original text.
        undone: found so far.
        turned: parts of the original that were turned round: the first character of one is the last
            of the original there, and its place is that of the first.
    """

    codes: Codes
    origins: Origins
    source: Codes
    undone: list[Undone] = field(default_factory=list[Undone])
    turned: list[Span] = field(default_factory=list[Span])

    @cached_property
    def classes(self) -> NDArray[np.uint8]:
        """`Class` of each character."""
        return tables().classes_of(self.codes)

    def with_codes(self, codes: Codes) -> "Letters":
        """Other characters in the same places."""
        return Letters(codes, self.origins, self.source, self.undone, self.turned)

    def again(self) -> "Letters":
        """The characters, with nothing undone yet."""
        found = Letters(self.codes, self.origins, self.source, turned=self.turned)
        found.classes = self.classes
        return found

    def kept(self, keep: Flags) -> "Letters":
        """The characters chosen (N,)."""
        kept = self.codes[keep], self.origins[keep]
        found = Letters(*kept, self.source, self.undone, self.turned)
        found.classes = self.classes[keep]
        return found

    def report(self, disguise: Disguise, changed: Flags) -> None:
        """Add the spans of changed characters (N,) to `undone`."""
        places = np.flatnonzero(changed)
        if not len(places):
            return
        breaks = np.flatnonzero(np.diff(places) > _NEAR)[: MOST_SPANS - 1]
        firsts = places[np.concatenate(([0], breaks + 1))]
        lasts = places[np.concatenate((breaks, [len(places) - 1]))]
        starts, ends = self.origins[firsts], self.origins[lasts] + 1
        spans = zip(starts.tolist(), ends.tolist(), strict=True)
        self.undone.extend(Undone(disguise, start, end) for start, end in spans)

    def turn(self, start: int, end: int) -> None:
        """Note that the characters from one place to another are turned round; none is no part."""
        if start < end:
            self.turned.append(Span(int(self.origins[start]), int(self.origins[end - 1]) + 1))

    def has(self, *classes: Class) -> bool:
        """Whether any character is of one of these classes."""
        return any(bool((self.classes == each).any()) for each in classes)


Stage = Callable[[Letters], Letters]
