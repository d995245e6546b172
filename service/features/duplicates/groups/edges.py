"""Edges between streamers: what evidence found, and what people judged."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Pair = tuple[str, str]
"""Two different streamers, the lower id first."""
Kind = Literal["same_media", "near_duplicate", "same_contact", "same_style"]
Verdict = Literal["same", "different", "unsure"]


def pair_of(one: str, other: str) -> Pair:
    """The unordered pair of two streamers."""
    return (one, other) if one < other else (other, one)


def kind_of(text: str) -> Kind:
    """What two share, by its name; `near_duplicate` where the name is another one."""
    return text if text in ("same_media", "same_contact", "same_style") else "near_duplicate"


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


def shared_out(
    names: Sequence[str], known: Sequence[Collection[str]], edges: Sequence[Edge], most: int
) -> dict[str, list[Edge]]:
    """The edges of each streamer: all that it had and still has, and the strongest new ones.

    Args:
        names: streamers that were compared.
        known: whom each had an edge with before.
        edges: all that were found, in any order.
        most: new ones of each; those that are the other's too come beside them.
    """
    found: dict[str, list[Edge]] = {name: [] for name in names}
    for edge in edges:
        for name in edge.pair:
            if name in found:
                found[name].append(edge)
    kept: dict[tuple[str, str], Edge] = {}
    for name, before in zip(names, known, strict=True):
        new: list[Edge] = []
        for edge in found[name]:
            other = edge.b if edge.a == name else edge.a
            if other in before:
                kept[edge.pair] = edge
            else:
                new.append(edge)
        new.sort(key=lambda e: (-e.weight, e.pair))
        kept.update((edge.pair, edge) for edge in new[:most])
    return {name: [edge for edge in found[name] if edge.pair in kept] for name in names}


def at_both_ends(edges: Mapping[str, Collection[Edge]]) -> dict[str, list[Edge]]:
    """Edges of streamers, each edge among those of both its ends where both are among them.

    One may find another who does not find it, or whose strongest edges are others.

    Args:
        edges: of each streamer, with others who may be among the streamers or not.
    """
    known = {name: {edge.pair: edge for edge in some} for name, some in edges.items()}
    for name, some in edges.items():
        for edge in some:
            other = edge.b if edge.a == name else edge.a
            if other in known:
                known[other].setdefault(edge.pair, edge)
    return {name: list(some.values()) for name, some in known.items()}
