"""Which servers hold a store, and how many replicas must have a write before it is acknowledged."""

import re
from dataclasses import dataclass, field, replace
from typing import Any, Self
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, ConnectionPool
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo

_SERVICE_NAME = re.compile(r"[A-Za-z0-9._-]+")
_SENTINEL_S = 0.3
"""A sentinel that takes longer to answer is passed over for the next one."""


@dataclass(frozen=True)
class StoreAddress:
    """Where a store is.

    Attributes:
        url: `redis://`, `rediss://` or `unix://`. With sentinels its host is the name under which
            they monitor the primary, and it has no port; the rest is for the servers themselves.
        sentinels: (host, port) of each; they are asked where the primary is.
        sentinel_user: for the sentinels, if they want one.
        sentinel_password: likewise.
        replicas: how many must have a write before it is acknowledged.
        replica_timeout_ms: for so many replicas to have it.
    """

    url: str = field(repr=False)
    sentinels: tuple[tuple[str, int], ...] = ()
    sentinel_user: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    replicas: int = 0
    replica_timeout_ms: int = 1000

    @property
    def unreplicated(self) -> Self:
        """Its servers, for what may be lost with the primary."""
        return replace(self, replicas=0)


_DRIVER = DriverInfo()


class _SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the primary that sentinels name; who finds none free waits."""

    async def aclose(self) -> None:
        """Close all connections, and those to the sentinels."""
        await super().aclose()  # pyright: ignore[reportUnknownMemberType]
        await self.sentinel_manager.aclose()  # pyright: ignore[reportUnknownMemberType]


def new_pool(address: StoreAddress, connections: int, connect_timeout_s: float) -> ConnectionPool:
    """A pool of at most so many connections; nothing is connected yet.

    Raises:
        ValueError: the address can't be understood.
    """
    options: dict[str, Any] = {
        "max_connections": connections,
        "timeout": None,
        "socket_connect_timeout": connect_timeout_s,
        # `RedisClient` limits the time of a command. redis-py's own limit would send with
        # `asyncio.wait_for`, which on Python 3.11 swallows a cancellation that comes while it
        # returns.
        "socket_timeout": None,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        # Otherwise each connection reads the version of redis-py from its files, for 3 ms.
        "driver_info": _DRIVER,
    }
    if not address.sentinels:
        return BlockingConnectionPool.from_url(address.url, **options)  # pyright: ignore[reportUnknownMemberType]
    name = _service_name(address.url)
    about: dict[str, Any] = {**parse_url(address.url)}
    for part in ("host", "port", "connection_class"):
        about.pop(part, None)
    tls: dict[str, Any] = {key: value for key, value in about.items() if key.startswith("ssl_")}
    if urlsplit(address.url).scheme == "rediss":
        tls["ssl"] = about["ssl"] = True
    sentinels = Sentinel(
        address.sentinels,
        sentinel_kwargs={
            **tls,
            "username": address.sentinel_user,
            "password": address.sentinel_password,
            "socket_connect_timeout": _SENTINEL_S,
            "socket_timeout": _SENTINEL_S,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
        },
    )
    return _SentinelPool(name, sentinels, **{**options, **about})


def _service_name(url: str) -> str:
    """The name that the sentinels know; not by `urlsplit`, which makes it lower case."""
    parts = urlsplit(url)
    name = parts.netloc.rpartition("@")[2]
    if parts.scheme not in ("redis", "rediss") or not _SERVICE_NAME.fullmatch(name):
        raise ValueError(
            "with sentinels it is redis:// or rediss:// with the name under which they monitor the "
            "primary, and no port, as in redis://mymaster/0; special characters of a password are "
            "percent-encoded, as %2F for /"
        )
    return name
