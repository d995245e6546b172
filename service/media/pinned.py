"""Connections to addresses that were checked, whatever the name would mean by now."""

import ssl
from collections.abc import Iterable, Sequence
from functools import cache
from types import TracebackType
from typing import Self, cast

import httpcore
import httpx

from service.media.addresses import IPAddress


@cache  # reading the certificates takes 20 ms
def public_trust() -> ssl.SSLContext:
    """Believes what httpx does: certifi's certificates, or SSL_CERT_FILE's or SSL_CERT_DIR's."""
    return httpx.create_ssl_context()


class PinnedBackend(httpcore.AsyncNetworkBackend):
    """Sockets for one exchange; the name that they are asked for is not resolved.

    TLS lies above and goes by the name: SNI, certificate and the Host header know no address.
    Everything is closed on leaving. httpcore alone would leave a socket open whose TLS handshake
    is cancelled.
    """

    def __init__(self, addresses: Sequence[IPAddress]) -> None:
        """Addresses in the order in which they are tried, one at least."""
        self._addresses = addresses
        # Its type is lost, for httpcore puts a stand-in there where anyio is missing.
        self._sockets = cast(httpcore.AsyncNetworkBackend, httpcore.AnyIOBackend())
        self._opened: list[httpcore.AsyncNetworkStream] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        while self._opened:
            await self._opened.pop().aclose()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that takes the connection; `timeout` s for each.

        Raises:
            httpcore.ConnectError: none does, or the last did not in time (ConnectTimeout).
        """
        failure: Exception = httpcore.ConnectError("no address")
        for address in self._addresses:
            try:
                stream = await self._sockets.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                continue
            self._opened.append(stream)
            return stream
        raise failure
