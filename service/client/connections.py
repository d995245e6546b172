"""What httpx is given: connections, the header of the key, and files as bodies, part by part."""

import asyncio
import os
import re
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx

from service.client.errors import ClientError, connection_errors

_BLOCK = 1 << 20
_PROXIES = ("all_proxy", "http_proxy", "https_proxy", "no_proxy")


def is_key(text: str) -> bool:
    """Whether a header may have it as a key."""
    return re.fullmatch(r"[!-~]([ -~]*[!-~])?", text) is not None


def headers_of(api_key: str | None) -> dict[str, str]:
    """The header that has the key, if there is one.

    Raises:
        ClientError: no header may have the key. It is not quoted: errors end in logs.
    """
    if api_key is None:
        return {}
    if not is_key(api_key):
        raise ClientError(
            "the API key can't be sent: give the key alone, without blanks or line ends around it; "
            "a key has printable ASCII characters only"
        )
    return {"Authorization": f"Bearer {api_key}"}


def http_of(url: str, **options: Any) -> httpx.Client:
    """Connections to `url`, through a proxy of the environment unless it is on this machine.

    Raises:
        ClientError: the address or the proxy can't be used.
    """
    direct = httpx.HTTPTransport() if _is_here(url) else None
    with _proxy_errors():
        return httpx.Client(transport=direct, **options)


def async_http_of(url: str, **options: Any) -> httpx.AsyncClient:
    """Connections for asyncio, made as by `http_of`.

    Raises:
        ClientError: the address or the proxy can't be used.
    """
    direct = httpx.AsyncHTTPTransport() if _is_here(url) else None
    with _proxy_errors():
        return httpx.AsyncClient(transport=direct, **options)


def _is_here(url: str) -> bool:
    with connection_errors(url):
        host = httpx.URL(url).host
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def _proxy_errors() -> Generator[None, None, None]:
    try:
        yield
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        names = ", ".join(sorted(name for name in os.environ if name.lower() in _PROXIES))
        place = f"environment says of proxies ({names})" if names else "system says of proxies"
        needed = ", or install `httpx[socks]`" if isinstance(error, ImportError) else ""
        raise ClientError(
            f"what the {place} can't be used: set a proxy to an http:// or https:// address and "
            f"NO_PROXY to hosts, or unset them{needed}"
        ) from error


def blocks(file: Path) -> Generator[bytes, None, None]:
    """The parts of a file."""
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK):
            yield block


async def async_blocks(file: Path) -> AsyncGenerator[bytes, None]:
    """The parts of a file, which threads read."""
    opened = await asyncio.to_thread(file.open, "rb")
    try:
        while block := await asyncio.to_thread(opened.read, _BLOCK):
            yield block
    finally:
        opened.close()
