"""Rate limits as the store holds them: what each token bucket lacks, by the server's clock."""

from collections.abc import Mapping
from typing import Protocol


class LimitStore(Protocol):
    """Where the services on one store settle what was spent."""

    async def settle(self, spent: Mapping[str, float]) -> list[float]:
        """Add what was spent, and learn what all services together have spent.

        Both are in seconds: a unit is the time in which the limit allows one more.

        Args:
            spent: since the last time, by the name of the bucket.

        Returns:
            Seconds until each bucket is full again, in the order of `spent`.

        Raises:
            StoreUnavailable: no answer; it may or may not have been added.
            StoreFull: nothing was added.
        """
        ...
