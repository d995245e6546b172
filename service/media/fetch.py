"""A picture or sound by its URL, from servers that nobody vouches for."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Generator
from dataclasses import dataclass

import httpcore

from service.errors import MediaUnavailable
from service.media.addresses import IPAddress, Resolve, is_public
from service.media.pinned import PinnedBackend, public_trust
from service.media.slots import Slots
from service.media.sniff import CONTENT_TYPES, Kind, content_type_of
from service.media.urls import Target, UrlRules
from service.release import release
from service.settings import Media

_log = logging.getLogger(__name__)

MAX_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LATER = frozenset({408, 425, 429})
"""Besides 5xx, the answers that may be others next time."""
_AGAIN = "try again later, or send the bytes as data and content_type"
_CHECK = "check it in a browser, or send the bytes as data and content_type"


@dataclass(frozen=True)
class Fetched:
    """What was found.

    Attributes:
        data: the bytes as they came, whole as far as the server says.
        content_type: told from the bytes, one of `sniff.CONTENT_TYPES`.
    """

    data: bytes
    content_type: str


class Fetcher:
    """Fetches from allowed hosts at public addresses, within bounds of size and time.

    A name is resolved once for each exchange, all its addresses are checked, and the connection
    goes to one of these. Redirects are followed here, each checked like a URL of its own. Each
    exchange has its own connection and leaves nothing behind: no pool, no cookies, no proxy (which
    would resolve the name once more). For one event loop.
    """

    def __init__(
        self,
        settings: Media,
        resolve: Resolve,
        *,
        is_safe: Callable[[IPAddress], bool] = is_public,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """Nothing is opened before the first fetch.

        Args:
            settings: hosts, ports and bounds.
            resolve: finds the addresses of a name: `SystemResolver`.
            is_safe: tells which of them may be asked.
            trust: which certificates to believe; by default `public_trust`.
        """
        self._rules = UrlRules(settings)
        self._slots = Slots(settings.url_concurrency, settings.url_concurrency_per_host)
        self._resolve = resolve
        self._is_safe = is_safe
        self._trust = trust or public_trust()
        self._user_agent = f"similar-streamer/{release()}"
        self._max_bytes = settings.url_max_bytes
        self._timeout_s = settings.url_timeout_ms / 1000
        self._idle_s = settings.url_idle_timeout_ms / 1000
        self._connect_s = settings.url_connect_timeout_ms / 1000

    async def fetch(self, url: str, kind: Kind, pointer: str) -> Fetched:
        """The bytes at a URL, all of them and in a known format.

        Args:
            url: https, on an allowed host.
            kind: what it must be.
            pointer: JSON pointer of the field that holds the URL, for errors.

        Raises:
            UrlRefused: the URL, or one that it redirects to, may not be asked.
            MediaNotFetched: what it gives can't be used, and won't be next time.
            MediaUnavailable: its host can't be reached, is too slow, or breaks off.
            Overloaded: too much is under way.
        """
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        target = self._rules.check(url, pointer)
        for _ in range(1 + MAX_REDIRECTS):
            async with self._slots.take(target.host, deadline):
                with self._failures(target):
                    async with asyncio.timeout_at(deadline):
                        found = await self._ask(target, kind)
            if isinstance(found, Fetched):
                return found
            target = found
        raise target.useless(
            f"redirects more than {MAX_REDIRECTS} times", "give the URL at which the bytes are"
        )

    async def _ask(self, target: Target, kind: Kind) -> Fetched | Target:
        """One exchange: what is there, or where it is said to be."""
        url = httpcore.URL(
            scheme=b"https", host=target.host, port=target.port, target=target.url.raw_path
        )
        headers = [
            ("Accept", ", ".join(CONTENT_TYPES[kind])),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
            ("User-Agent", self._user_agent),
        ]
        idle, connect = self._idle_s, self._connect_s
        timeouts = {"connect": connect, "read": idle, "write": idle}
        async with PinnedBackend(await self._addresses(target)) as network:
            connection = httpcore.AsyncHTTPConnection(
                url.origin, self._trust, network_backend=network
            )
            async with connection.stream(
                "GET", url, headers=headers, extensions={"timeout": timeouts}
            ) as response:
                location = _header(response, b"location")
                if location and response.status in _REDIRECTS:
                    return self._rules.redirect(target, location)
                self._check_head(target, response)
                data = await self._read(target, response)
        content_type = content_type_of(data)
        if content_type not in CONTENT_TYPES[kind]:
            known = ", ".join(CONTENT_TYPES[kind])
            raise target.useless(f"holds no {kind} of a known format", f"give one of: {known}")
        return Fetched(data, content_type)

    async def _addresses(self, target: Target) -> list[IPAddress]:
        try:
            addresses = list(await self._resolve(target.host, target.port))
        except OSError as error:
            _log.info("%s can't be resolved: %s", target.host, error)
            addresses = []
        if not addresses:
            raise MediaUnavailable.of(target.pointer, f"its host is not known; {_AGAIN}")
        unsafe = [str(address) for address in addresses if not self._is_safe(address)]
        if unsafe:  # one is enough: whoever mixes them means no good, or errs
            _log.warning("%s is not asked, for it is at %s", target.host, ", ".join(unsafe))
            raise target.refused(
                "is on a host that is not on the public internet",
                "use one that is, or send the bytes as data and content_type",
            )
        return addresses

    def _check_head(self, target: Target, response: httpcore.Response) -> None:
        """Refuse what need not be read."""
        status = response.status
        if status in _LATER or status >= 500:
            raise MediaUnavailable.of(target.pointer, f"its host answers {status}; {_AGAIN}")
        if status != 200:
            raise target.useless(f"its host answers {status}", _CHECK)
        if _header(response, b"content-encoding").lower() not in ("", "identity"):
            raise target.useless(
                "is sent compressed though nobody asked", "have it served as it is"
            )
        length = _header(response, b"content-length")
        # What ends with the connection can't be told from what was cut off.
        if not length and not _header(response, b"transfer-encoding"):
            raise target.useless("does not say how long it is", "have Content-Length sent with it")
        if length and int(length) > self._max_bytes:
            raise self._too_large(target)

    async def _read(self, target: Target, response: httpcore.Response) -> bytes:
        data = bytearray()
        async for part in response.aiter_stream():
            data += part
            if len(data) > self._max_bytes:
                raise self._too_large(target)
        return bytes(data)

    def _too_large(self, target: Target) -> Exception:
        return target.useless(f"has more than {self._max_bytes} bytes", "make it smaller")

    @contextlib.contextmanager
    def _failures(self, target: Target) -> Generator[None]:
        """Failures of the network in the service's own terms, without what they tell of it."""
        try:
            yield
        except TimeoutError as error:
            reason = f"was not there within {self._timeout_s:g} s"
            raise MediaUnavailable.of(target.pointer, f"{reason}; {_AGAIN}") from error
        except httpcore.TimeoutException as error:
            raise MediaUnavailable.of(
                target.pointer, f"its host does not answer; {_AGAIN}"
            ) from error
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            _log.info("%s: %r", target.host, error)
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                raise target.useless(
                    "its host has no valid certificate for that name", _CHECK
                ) from error
            reason = "its host takes no connection, breaks off or does not speak HTTP"
            raise MediaUnavailable.of(target.pointer, f"{reason}; {_AGAIN}") from error


def _header(response: httpcore.Response, name: bytes) -> str:
    """A header's value, all of them where there are several, "" where there is none."""
    values = [value for key, value in response.headers if key.lower() == name]
    return b", ".join(values).decode("latin-1").strip()
