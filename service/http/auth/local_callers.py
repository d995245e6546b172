"""Who may ask a service that has no key: programs of this machine, and pages of the service."""

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from ipaddress import ip_address

from service.errors import HostNotAllowed, OriginNotAllowed

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/?#@\[\]]+))(?::[0-9]*)?")


class LocalCallers:
    """Tells callers on this machine from pages that a browser on it shows."""

    def __init__(self, hosts: Collection[str]) -> None:
        """Names in `hosts` count as this machine's too."""
        self._hosts = frozenset(hosts)

    def check(self, headers: Mapping[bytes, str]) -> None:
        """Refuse what a page from elsewhere could make a browser on this machine send.

        Args:
            headers: `host` and `origin` of the request, if it has them.

        Raises:
            HostNotAllowed: it calls the service by a name that is not this machine's.
            OriginNotAllowed: it comes from a page of another service.
        """
        host = headers.get(b"host")  # HTTP/1.0 needs none
        if host is not None and not self._is_own(host):
            raise HostNotAllowed(
                f"without an API key the service answers to names of this machine, and Host is "
                f"{host!r}: call it as localhost, add that name to STREAMER_SERVER__HOSTS, or set "
                "STREAMER_API_KEY"
            )
        origin = headers.get(b"origin")
        if origin is None:
            return
        place = origin.partition("://")[2]
        if place != host and _name_of(place) not in self._hosts:
            raise OriginNotAllowed(
                f"without an API key only pages of this service may ask it, and Origin is "
                f"{origin!r}: add its name to STREAMER_SERVER__HOSTS, or set STREAMER_API_KEY"
            )

    def _is_own(self, host: str) -> bool:
        name = _name_of(host)
        return name in self._hosts or _is_loopback(name)


def _name_of(host: str) -> str:
    """The name in a `Host` header, without a port; "" for what is no name and port."""
    found = _HOST.fullmatch(host)
    return "" if found is None else (found[1] or found[2]).lower()


@lru_cache(maxsize=64)
def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
