"""Settings of webhooks."""

import ipaddress
from typing import Annotated

from pydantic import Field

from service.settings.groups import Group
from service.settings.types import ByComma

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Webhooks(Group):
    """Events that are sent to other services."""

    deliver: bool = True
    """Whether this process may be the one that sends them."""
    private_networks: Annotated[tuple[Network, ...], *ByComma] = ()
    """Networks, by comma, to which webhooks may be sent although they are not on the public
    internet, and there also by `http://`: `10.1.0.0/16,127.0.0.0/8`. By default none."""
    timeout_ms: Annotated[int, Field(ge=100, le=60_000)] = 15_000
    """Time for one attempt: name, connection, status. A target that is slower has failed."""
    concurrency: Annotated[int, Field(ge=1, le=256)] = 16
    """Attempts at once; of one target at most four."""
