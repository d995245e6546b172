"""Times of a projection."""

from dataclasses import dataclass

_MOST_PAUSE_S = 300.0


@dataclass(frozen=True)
class Pace:
    """Times of a projection.

    Attributes:
        lease_s: without a sign of life for so long, another process writes.
        margin_s: what was written so long ago is seen by everyone; Milvus takes up to five seconds.
        audit_s: how often the whole collection is compared with the index.
    """

    lease_s: float = 10.0
    margin_s: float = 15.0
    audit_s: float = 600.0


def pause_s(lease_s: float, builds: int) -> float:
    """How long to leave the lease to others: longer than it lasts, twice as long at each build."""
    return max(1.5 * lease_s, min(lease_s * 2**builds, _MOST_PAUSE_S))
