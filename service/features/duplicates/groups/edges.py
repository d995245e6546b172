"""Edges between streamers: what evidence found, and what people judged."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

Pair = tuple[str, str]
"""Two different streamers, the lower id first."""
Kind = Literal["same_media", "near_duplicate", "same_contact", "same_style"]
Verdict = Literal["same", "different", "unsure"]


def pair_of(one: str, other: str) -> Pair:
    """The unordered pair of two streamers."""
    return (one, other) if one < other else (other, one)


class Edge(NamedTuple):
    """Two streamers that evidence takes for duplicates; `a` is below `b`.

    Attributes:
        a: the lower id.
        b: the higher id.
        weight: strength of the evidence, in the unit of whoever compared them; higher is stronger.
        kind: what they share.
    """

    a: str
    b: str
    weight: float
    kind: Kind

    @property
    def pair(self) -> Pair:
        """The streamers."""
        return self.a, self.b


@dataclass(frozen=True)
class Judgement:
    """What a person says of a pair.

    Attributes:
        pair: the streamers.
        verdict: `same` joins them, `different` keeps them apart, `unsure` changes nothing.
        order: grows with every judgement that is given; the newest wins a contradiction.
    """

    pair: Pair
    verdict: Verdict
    order: int


def neighbours(pairs: Iterable[Pair]) -> Mapping[str, list[str]]:
    """Who is paired with whom."""
    found: dict[str, list[str]] = {}
    for a, b in pairs:
        found.setdefault(a, []).append(b)
        found.setdefault(b, []).append(a)
    return found
