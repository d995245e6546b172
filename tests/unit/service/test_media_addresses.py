"""Pictures and sounds by their addresses: only what is public and allowed is ever asked."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Callable, Sequence
from ipaddress import ip_address
from typing import NamedTuple

import pytest
import trustme

from service.errors import MediaNotFetched, MediaUnavailable, ServiceError, UrlRefused
from service.media.addresses import IPAddress, is_public
from service.media.fetch import Fetched, Fetcher
from service.settings import Media

HOST = "media.example.org"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
Answer = bytes | Callable[[str, int], bytes]


def head(status: str = "200 OK", **headers: object) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def whole(body: bytes, status: str = "200 OK", **headers: object) -> bytes:
    return head(status, Content_Length=len(body), **headers) + body


class Server:
    def __init__(self) -> None:
        self.port, self.requests, self.names = 0, list[str](), list[str | None]()


class Names:
    """A resolver: a name has answers, given one after the other, the last for ever."""

    def __init__(self, *answers: Sequence[str], **others: Sequence[str]) -> None:
        self.answers = {HOST: list(answers or [["127.0.0.1"]])}
        self.answers |= {f"{name}.example.org": [list(found)] for name, found in others.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[IPAddress]:
        self.asked.append(host)
        found = self.answers[host]
        return [ip_address(a) for a in (found.pop(0) if len(found) > 1 else found[0])]


@contextlib.asynccontextmanager
async def serve(answer: Answer, authority: trustme.CA, name: str) -> AsyncGenerator[Server]:
    server, over = Server(), asyncio.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            server.requests.append((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
            path = server.requests[-1].split()[1]
            made = answer(path, server.port) if callable(answer) else answer
            writer.write(made)
            if not made:  # it never answers
                await over.wait()
            await writer.drain()
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    context.sni_callback = lambda _, asked, __: server.names.append(asked)
    listener = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        over.set()
        listener.close()


class Asked(NamedTuple):
    found: Fetched | ServiceError
    server: Server


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def fetch(
    authority: trustme.CA,
    answer: Answer,
    path: str = "/a",
    names: Names | None = None,
    certified: str = "*.example.org",
    trusted: trustme.CA | None = None,
    is_safe: Callable[[IPAddress], bool] = lambda a: str(a) == "127.0.0.1" or is_public(a),
    **settings: object,
) -> Asked:
    """Fetch a path of a server whose names mean this machine."""

    async def scenario() -> Asked:
        async with serve(answer, authority, certified) as server:
            trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            (trusted or authority).configure_trust(trust)
            values = {"url_hosts": (HOST, "*.example.org"), "url_ports": (server.port,)}
            allowed = Media.model_validate({**values, "url_timeout_ms": 60_000, **settings})
            fetcher = Fetcher(allowed, names or Names(), is_safe=is_safe, trust=trust)
            url = f"https://{HOST}:{server.port}{path}"
            try:
                return Asked(await fetcher.fetch(url, "image", "/avatar/url"), server)
            except ServiceError as error:
                return Asked(error, server)

    asked = asyncio.run(scenario())
    if isinstance(asked.found, ServiceError):
        assert [each.pointer for each in asked.found.errors] == ["/avatar/url"]
    return asked


PUBLIC = """1.1.1.1 8.8.8.8 93.184.215.14 100.63.255.255 100.128.0.1 168.63.129.15 172.15.255.255
172.32.0.1 223.255.255.254 2606:4700:4700::1111 2a00:1450:4001:80b::200e 2001:4860:4860::8888"""
NOT_PUBLIC = """0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254
168.63.129.16 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.88.99.1
192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
:: ::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:8.8.8.8 ::ffff:0:127.0.0.1
64:ff9b::a9fe:a9fe 64:ff9b:1::a00:1 100::1 2001::1 2001:0:a00:1::f5ff:fffe 2001:2::1 2001:10::1
2001:db8::1 2002:7f00:1:: 2002:a9fe:a9fe::1 2606:4700::5efe:7f00:1 2606:4700::200:5efe:a9fe:a9fe
3fff::1 4000::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1"""


def test_only_the_public_internet_may_be_asked() -> None:
    assert [a for a in PUBLIC.split() if not is_public(ip_address(a))] == []
    assert [a for a in NOT_PUBLIC.split() if is_public(ip_address(a))] == []


def test_it_is_fetched_from_the_address_that_was_checked(authority: trustme.CA) -> None:
    names = Names(["127.0.0.1"], ["10.0.0.1"])  # the name means something else a moment later
    asked = fetch(
        authority,
        whole(PNG, Content_Type="text/html"),
        "/a%20b?c=d#e",
        names=names,
        url_max_bytes=len(PNG),
    )
    assert asked.found == Fetched(PNG, "image/png")
    # No system knows the name: only the checked address can have led here.
    assert (names.asked, asked.server.names) == ([HOST], [HOST])
    line, *headers = asked.server.requests[0].lower().split("\r\n")
    assert line == "get /a%20b?c=d http/1.1"
    assert f"host: {HOST}:{asked.server.port}" in headers
    assert not any(header.startswith(("cookie", "authorization")) for header in headers)


@pytest.mark.parametrize(
    "addresses",
    [
        *(["10.0.0.1"], ["127.0.0.2"], ["169.254.169.254"], ["8.8.8.8", "10.0.0.1"], ["::1"]),
        *(["127.0.0.1", "192.168.0.1"], ["::ffff:127.0.0.1"], ["fd00:ec2::254"], ["0.0.0.0"]),
    ],
)
def test_a_name_with_one_address_that_is_not_public_is_not_asked(
    authority: trustme.CA, addresses: list[str]
) -> None:
    asked = fetch(authority, whole(PNG), names=Names(addresses))
    assert isinstance(asked.found, UrlRefused)
    assert not any(address in asked.found.detail for address in addresses if len(address) > 3)
    assert asked.server.names == []


def test_this_machine_is_not_asked_by_default(authority: trustme.CA) -> None:
    asked = fetch(authority, whole(PNG), is_safe=is_public)
    assert (type(asked.found), asked.server.names) == (UrlRefused, [])


def test_redirects_are_followed_thrice_and_checked_each_time(authority: trustme.CA) -> None:
    def countdown(path: str, port: int) -> bytes:
        left = int(path[1:])
        where = f"https://other.example.org:{port}/{left - 1}" if left == 2 else f"/{left - 1}"
        return whole(b"", "302 Found", Location=where) if left else whole(PNG)

    names = Names(other=["127.0.0.1"])
    asked = fetch(authority, countdown, "/3", names=names)
    assert asked.found == Fetched(PNG, "image/png")
    assert names.asked == [HOST, HOST, "other.example.org", "other.example.org"]
    asked = fetch(authority, countdown, "/4", names=Names(other=["127.0.0.1"]))
    assert (type(asked.found), len(asked.server.requests)) == (MediaNotFetched, 4)
    moved = fetch(authority, countdown, "/1", names=Names(["127.0.0.1"], ["192.168.1.1"]))
    assert (type(moved.found), len(moved.server.requests)) == (UrlRefused, 1)


@pytest.mark.parametrize(
    "location",
    [
        "https://inside.example.org:{port}/secret",
        "https://10.0.0.7:{port}/secret",
        "http://media.example.org:{port}/secret",
        "https://media.example.org:6379/secret",
        "https://evil.example.com:{port}/secret",
        "https://a:b@media.example.org:{port}/secret",
        "file:///secret",
        "https://media.example.org:{port}/" + "secret" * 500,
    ],
)
def test_a_redirect_to_where_nobody_may_go(authority: trustme.CA, location: str) -> None:
    def answer(_: str, port: int) -> bytes:
        return whole(b"", "302 Found", Location=location.format(port=port))

    asked = fetch(authority, answer, names=Names(inside=["10.0.0.7"]))
    assert isinstance(asked.found, UrlRefused)
    for hidden in ("secret", "10.0.0.7", "inside", "6379", "evil"):
        assert hidden not in asked.found.detail


def test_the_certificate_is_that_of_the_name(authority: trustme.CA) -> None:
    for asked in (
        fetch(authority, whole(PNG), certified="other.example.com"),
        fetch(authority, whole(PNG), trusted=trustme.CA()),
    ):
        assert (type(asked.found), asked.server.requests) == (MediaNotFetched, [])


USELESS: dict[str, bytes] = {
    "gone": whole(PNG, "404 Not Found"),
    "a part": whole(PNG, "206 Partial Content"),
    "nowhere": whole(b"", "302 Found"),
    "a page": whole(b"<html></html>"),
    "a sound": whole(b"ID3\4" + bytes(1000)),
    "packed": whole(PNG, Content_Encoding="gzip"),
    "no length": head() + PNG,
    "too long": head(Content_Length=4097) + PNG,
    "endless": head(Transfer_Encoding="chunked") + (b"1000\r\n" + bytes(4096) + b"\r\n") * 9,
}
LATER: dict[str, bytes] = {
    "busy": whole(PNG, "503 Busy"),
    "slower": whole(PNG, "429 Slower"),
    "cut off": head(Content_Length=4000) + PNG,
    "no http": b"SSH-2.0-OpenSSH_9.6\r\n",
    "silent": b"",
}


@pytest.mark.parametrize("name", [*USELESS, *LATER])
def test_an_answer_that_is_no_picture_is_told_from_one_that_may_come_later(
    authority: trustme.CA, name: str
) -> None:
    answer = {**USELESS, **LATER}[name]
    idle_ms = 3000 if answer else 100
    found = fetch(authority, answer, url_max_bytes=4096, url_idle_timeout_ms=idle_ms).found
    assert isinstance(found, MediaNotFetched if name in USELESS else MediaUnavailable)
