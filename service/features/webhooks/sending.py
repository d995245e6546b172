"""One attempt: a POST to a target that nobody vouches for, within bounds of time and size."""

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

import httpcore
import httpx

from service.errors import InvalidRequest
from service.features.webhooks.targets import TargetRefused, Targets
from service.media.pinned import PinnedBackend, public_trust
from service.release import release
from service.settings.webhooks import Webhooks

_log = logging.getLogger(__name__)
_MOST_BYTES = 16 << 10
"""Of an answer's body, which says nothing: what is longer is left unread."""
_BODY_S = 1.0
_MOST_DATE = 40


@dataclass(frozen=True)
class Attempt:
    """How an attempt ended.

    Attributes:
        status: of HTTP; None = there was no answer.
        error: why it failed; None = it did not.
        retry_after_s: when the target wants to be asked again, if it says so.
    """

    status: int | None
    error: str | None
    retry_after_s: float | None = None

    @property
    def is_gone(self) -> bool:
        """Whether the target wants no more webhooks, ever."""
        return self.status == 410

    @property
    def wants_less(self) -> bool:
        """Whether the target is not there or has too much to do."""
        return self.status is None or self.status in (429, 502, 503, 504)


class Sender:
    """Posts to targets.

    A name is resolved once for each attempt, its addresses are checked, and the connection goes to
    one of these. Redirects are not followed. Each attempt has its own connection; no cookies, no
    proxy (which would resolve the name once more).
    """

    def __init__(
        self, settings: Webhooks, targets: Targets, trust: ssl.SSLContext | None = None
    ) -> None:
        """Nothing is opened before the first attempt.

        Args:
            settings: bounds.
            targets: which may be asked.
            trust: which certificates to believe; by default `public_trust`.
        """
        self._targets = targets
        self._timeout_s = settings.timeout_ms / 1000
        self._turns = asyncio.Semaphore(settings.concurrency)
        self._trust = trust or public_trust()
        self._user_agent = f"similar-streamer/{release()}"

    async def post(self, url: str, headers: Sequence[tuple[str, str]], body: str) -> Attempt:
        """Post a body; a failure is an answer like any other."""
        async with self._turns:
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self._post(self._targets.parsed(url), headers, body.encode())
            except TimeoutError:
                return Attempt(None, f"no answer within {self._timeout_s:g} s")
            except InvalidRequest as error:  # the settings allowed it once
                return Attempt(None, error.detail)
            except TargetRefused as error:
                return Attempt(None, str(error))
            except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
                _log.info("a webhook could not be sent: %r", error)
                if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                    return Attempt(None, "no valid certificate for that name")
                return Attempt(None, "the host takes no connection, breaks off or speaks no HTTP")

    async def _post(
        self, url: httpx.URL, headers: Sequence[tuple[str, str]], content: bytes
    ) -> Attempt:
        sent = [
            *headers,
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
            ("User-Agent", self._user_agent),
        ]
        scheme = url.scheme.encode()
        target = httpcore.URL(
            scheme=scheme,
            host=url.raw_host,
            port=url.port or (443 if scheme == b"https" else 80),
            target=url.raw_path,
        )
        async with PinnedBackend(await self._targets.addresses(url)) as network:
            connection = httpcore.AsyncHTTPConnection(
                target.origin, self._trust, network_backend=network
            )
            async with connection.stream("POST", target, headers=sent, content=content) as answer:
                with contextlib.suppress(
                    TimeoutError, httpcore.NetworkError, httpcore.ProtocolError
                ):
                    async with asyncio.timeout(_BODY_S):
                        await _read_some(answer)
                return _attempt_of(answer)


async def _read_some(answer: httpcore.Response) -> None:
    """Let a target finish what it says, if that is little."""
    size = 0
    async for part in answer.aiter_stream():
        size += len(part)
        if size > _MOST_BYTES:
            return


def _attempt_of(answer: httpcore.Response) -> Attempt:
    status = answer.status
    if 200 <= status < 300:
        return Attempt(status, None)
    after = next((v for k, v in answer.headers if k.lower() == b"retry-after"), b"")
    kind = "redirects, which is not followed: give the final URL" if 300 <= status < 400 else ""
    return Attempt(
        status, f"the target answers {status}" + (f": it {kind}" if kind else ""), _wait_s(after)
    )


def _wait_s(text: bytes) -> float | None:
    """Seconds that a `Retry-After` asks for, as a number or as a time; None if it is neither."""
    text = text.strip()
    if text.isdigit():
        return float(text) if len(text) <= 6 else None
    try:
        at = parsedate_to_datetime(text[:_MOST_DATE].decode("latin-1"))
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):  # the latter for a year or a zone of many digits
        return None
    return max(0.0, seconds - time.time())
