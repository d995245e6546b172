"""Anchors of audit logs on Valkey or Redis.

ss:audit       hash: JSON of an `Anchor` by chain
"""

from collections.abc import Mapping, Sequence

from service.store.anchors import Anchor
from service.store.redis.client import RedisClient


class RedisAnchors:
    """An `AnchorStore` on a Valkey or Redis server."""

    def __init__(self, client: RedisClient, prefix: str) -> None:
        """Ask by `client`, which others use too.

        Args:
            client: of the server.
            prefix: how every key of the server begins.
        """
        self._client = client
        self._anchors = f"{prefix}audit"

    async def all(self) -> dict[str, Anchor]:
        """Every anchor, by chain."""
        found: dict[bytes, bytes] = await self._client.ask("HGETALL", self._anchors)
        return {chain.decode(): Anchor.of_json(text) for chain, text in found.items()}

    async def put(self, anchors: Mapping[str, Anchor]) -> None:
        """Replace anchors of chains."""
        if anchors:
            pairs = [part for chain, a in anchors.items() for part in (chain, a.to_json())]
            await self._client.ask("HSET", self._anchors, *pairs)

    async def now(self) -> float:
        """Seconds since 1970 by the server's clock."""
        seconds, microseconds = await self._client.ask("TIME")
        return seconds + microseconds / 1e6

    async def remove(self, chains: Sequence[str]) -> None:
        """Forget chains whose files were removed."""
        if chains:
            await self._client.ask("HDEL", self._anchors, *chains)
