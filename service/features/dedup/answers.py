"""What near-duplicates are answered as."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from model_export.contract.evidence import Verdict
from service.engine.candidates.look_ups import LookUp
from service.index.base import Hit


@dataclass(slots=True)
class NearDuplicate(Hit):
    """A streamer whose content is nearly that of another one.

    Its score is the cosine of their content sketches; in a cluster, the highest one with a member
    that it is joined with.

    Attributes:
        copies: how many pictures and sounds of both are copies, where these were compared; in a
            cluster, the most with another member.
        joined_with: the member of the cluster that it is joined with by the strongest evidence.
        kind: what the two are to each other.
        weight: match weight of the two, bits; None where evidence was not compared.
        probability: that the two are the same; None likewise.
    """

    copies: int = 0
    joined_with: str | None = None
    kind: Verdict = "near_duplicate"
    weight: float | None = None
    probability: float | None = None


class Looked(NamedTuple):
    """Near-duplicates of a streamer, and what else was found for who evaluates it next."""

    near: list[NearDuplicate]
    found: LookUp | None


@dataclass(frozen=True)
class Cluster:
    """Near-duplicates of each other; the representative is the first of the list."""

    representative: str
    members: Sequence[NearDuplicate]


@dataclass(frozen=True)
class DedupAnswer:
    """Clusters of two or more, those that are alone, and those that have no vector to compare.

    `incomplete_because` says why the newest writes may be missing, None when they are not;
    `not_stored` are ids that are unknown.
    """

    threshold: float
    clusters: Sequence[Cluster]
    unique: Sequence[str]
    not_comparable: Sequence[str]
    not_stored: Sequence[str]
    incomplete_because: str | None


@dataclass(frozen=True)
class FeedAnswer:
    """The list re-ordered; see `feed.spread`."""

    threshold: float
    order: Sequence[str]
    held_back: Sequence[str]
    too_close: int
    clusters: Sequence[Cluster]
    not_stored: Sequence[str]
    incomplete_because: str | None
