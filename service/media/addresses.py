"""Which addresses belong to the public internet, and may be asked on a caller's behalf."""

import asyncio
import functools
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[IPAddress]]]
"""All addresses of a host name, for use with a port, the best first; OSError if there are none."""

# The IANA registries of special-purpose addresses, written out: what `ipaddress` makes of them
# differs between the patch releases of one Python, and multicast counts as global there.
_NOT_PUBLIC_V4 = [
    ipaddress.IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network; 0.0.0.0 reaches this machine
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' NAT; also a cloud's metadata (100.100.100.200)
        "127.0.0.0/8",
        "168.63.129.16/32",  # a cloud's metadata, in the midst of public addresses
        "169.254.0.0/16",  # link-local; metadata of most clouds (169.254.169.254)
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments; also a cloud's metadata (192.0.0.192)
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
]
_GLOBAL_UNICAST_V6 = ipaddress.IPv6Network("2000::/3")
"""All that IANA has given out. Outside lie ::1, ::, IPv4-mapped and -compatible, NAT64 (64:ff9b::),
unique local (clouds' metadata: fd00:ec2::254), link-local and multicast."""
_NOT_PUBLIC_V6 = [
    ipaddress.IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments, among them Teredo, which wraps an IPv4 address
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which wraps an IPv4 address
        "3fff::/20",  # documentation
    )
]
_ISATAP = (0x00005EFE, 0x02005EFE)
"""Under any prefix, these 32 bits before the last 32 wrap an IPv4 address (RFC 5214)."""


def is_public(address: IPAddress) -> bool:
    """Whether an address is one of the public internet and hides no other.

    IPv6 forms that carry an IPv4 address are refused whatever they carry.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not any(address in block for block in _NOT_PUBLIC_V4)
    if address not in _GLOBAL_UNICAST_V6 or any(address in block for block in _NOT_PUBLIC_V6):
        return False
    return address.is_global and (int(address) >> 32) & 0xFFFFFFFF not in _ISATAP


class SystemResolver:
    """This machine's own resolver, in threads of its own: one that hangs holds up no other work."""

    def __init__(self, threads: int) -> None:
        """How many names may be asked at once; a lookup can't be stopped before it ends."""
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="resolve")

    async def __call__(self, host: str, port: int) -> list[IPAddress]:
        """The addresses of a name in the system's order, each once.

        Raises:
            OSError: there are none.
        """
        ask = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._executor, ask)
        return list(dict.fromkeys(ipaddress.ip_address(place[0]) for *_, place in found))

    def close(self) -> None:
        """Ask no more; what is being asked is not waited for."""
        self._executor.shutdown(wait=False, cancel_futures=True)
