import asyncio
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from service.media.addresses import SystemResolver, is_public

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.215.14",
    "100.63.255.255",
    "100.128.0.1",
    "168.63.129.15",
    "172.15.255.255",
    "172.32.0.1",
    "223.255.255.254",
    "2606:4700:4700::1111",
    "2a00:1450:4001:80b::200e",
    "2001:4860:4860::8888",
    "3ffe::1",
]
NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",  # IPv4-compatible
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:8.8.8.8",  # mapped: nobody needs it, and it evades checks elsewhere
    "::ffff:0:127.0.0.1",  # IPv4-translated (SIIT)
    "64:ff9b::a9fe:a9fe",  # NAT64 of 169.254.169.254
    "64:ff9b:1::a00:1",  # local NAT64
    "100::1",  # discard
    "2001::1",  # Teredo
    "2001:0:a00:1::f5ff:fffe",
    "2001:2::1",  # benchmarks
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::",  # 6to4 of 127.0.0.1
    "2002:a9fe:a9fe::1",
    "2606:4700::5efe:7f00:1",  # ISATAP of 127.0.0.1
    "2606:4700::200:5efe:a9fe:a9fe",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_the_public_internet_may_be_asked(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_nothing_else_may(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.fixture
def resolver() -> Iterator[SystemResolver]:
    resolver = SystemResolver(threads=1)
    yield resolver
    resolver.close()


def test_the_system_knows_this_machine(resolver: SystemResolver) -> None:
    found = asyncio.run(resolver("localhost", 443))
    assert found
    assert all(address.is_loopback for address in found)
    assert len(set(found)) == len(found)
