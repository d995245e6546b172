"""Settings of the store: the length of its log, and replicas of an external one."""

from typing import Annotated

from pydantic import Field, SecretStr

from service.settings.groups import Group
from service.settings.types import ByComma, HostAndPort

LOG_ENTRIES = 20_000
"""Writes that the log of a store keeps, unless another number was set for it."""


class Store(Group):
    """The store's log, and the replicas of an external store (`REDIS_URL`).

    [Beyond one machine](scale.md#fail-over-of-the-store) tells what replicas are for.
    """

    sentinels: Annotated[tuple[HostAndPort, ...], *ByComma] = ()
    """Sentinels that know where the primary is, by comma: `sentinel-0:26379,sentinel-1:26379`. The
    host of `REDIS_URL` is then the name under which they monitor it, without a port, as in
    `redis://mymaster/0`; its password and TLS are those of the servers, and
    sentinels are reached by TLS where the servers are."""
    sentinel_user: Annotated[str, Field(min_length=1)] | None = None
    """User of the sentinels, if they want one."""
    sentinel_password: SecretStr | None = None
    """Password of the sentinels, if they want one."""
    replicas: Annotated[int, Field(ge=0, le=10)] = 0
    """A write is acknowledged once so many replicas have it (`WAIT`); otherwise it gets 503
    `not_replicated`. 0 = once the primary has it, and a fail-over may lose what it acknowledged
    last."""
    replica_timeout_ms: Annotated[int, Field(ge=10, le=4000)] = 1000
    """How long a write waits for that."""
    log_entries: Annotated[int, Field(ge=10_000, le=10_000_000)] | None = None
    """How many writes the log keeps; unset = as many as it was last told to, 20,000 at first. A
    service that starts, and a reader of the log that was away (a cluster of Milvus, say), reads all
    of the store again if more was written meanwhile. A thousand entries take 1.4 MB of memory with
    128 dimensions. The store has one value for all services on it, that of the one that starts last
    with this setting, whose log tells a change. Services of releases that don't know it cut the log
    to 20,000 with each of their writes."""
    start_wait_s: Annotated[float, Field(ge=0, le=86_400)] = 600
    """How long a service that starts waits for an external store that does not answer, or still
    reads its log. `/startupz` and the log say so. 0 = it ends at once."""
