"""Edges of evidence between two streamers, as they are kept and shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from service.engine.expansion.paths import Link

EdgeKind = Literal["text", "contacts", "media", "tags", "titles", "embedding"]
"""What an edge may be made of."""


@dataclass(frozen=True)
class ChannelOf:
    """What a channel says of an edge: bits that it adds, and how far the two agree."""

    channel: str
    weight: float
    level: str


@dataclass(frozen=True)
class EvidenceEdge:
    """An edge.

    Attributes:
        a, b: streamers, `a` below `b`.
        probability: that they are the same, to six places.
        weight: match weight in bits.
        channels: those that speak for or against it.
    """

    a: str
    b: str
    probability: float
    weight: float
    channels: Sequence[ChannelOf]

    @property
    def link(self) -> Link:
        """What a walk knows of it."""
        return Link(self.a, self.b, self.probability)
