"""Where webhooks may be sent: decided from the parsed URL, and again from its addresses."""

import asyncio
import re
from collections.abc import Sequence

import httpx

from service.errors import InvalidRequest
from service.media.addresses import IPAddress, Resolve, is_public
from service.settings.webhooks import Webhooks

_MOST_CHARS = 2048
_LOOKUP_S = 2.0
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*")


class TargetRefused(Exception):
    """The target may not be asked; the message says why."""


class Targets:
    """The rules of the settings."""

    def __init__(self, settings: Webhooks, resolve: Resolve) -> None:
        """Allow public addresses over https, and the private networks of the settings.

        Args:
            settings: of webhooks.
            resolve: finds the addresses of a name.
        """
        self._private = settings.private_networks
        self._resolve = resolve

    def parsed(self, text: str) -> httpx.URL:
        """A target's URL.

        Raises:
            InvalidRequest: it can be none; the field is `/url`.
        """
        try:
            if len(text) > _MOST_CHARS:
                raise httpx.InvalidURL("too long")
            url = httpx.URL(text)
            host = url.raw_host.decode("ascii")
        except (httpx.InvalidURL, ValueError):
            raise _refused(
                f"is not a proper URL; write https://host/path in at most {_MOST_CHARS} characters"
            ) from None
        if url.scheme not in ("https", "http") or not _NAME.fullmatch(host):
            raise _refused("has to be https with the name of a host, such as https://host/path")
        if url.scheme == "http" and not self._private:
            raise _refused(
                "is not https; start it with https:// (http is for the networks of "
                "STREAMER_WEBHOOKS__PRIVATE_NETWORKS)"
            )
        if url.userinfo or url.fragment:
            raise _refused("carries a user name, a password or a fragment; leave it out")
        return url

    async def addresses(self, url: httpx.URL) -> Sequence[IPAddress]:
        """The addresses of a target, each of which may be asked.

        Raises:
            TargetRefused: one may not be.
            OSError: it has none.
        """
        port = url.port or (443 if url.scheme == "https" else 80)
        found = list(await self._resolve(url.raw_host.decode("ascii"), port))
        if not found:
            raise OSError("the host is not known")
        private = [a for a in found if any(a in network for network in self._private)]
        unsafe = [a for a in found if a not in private and not is_public(a)]
        if unsafe:  # one is enough: whoever mixes them means no good, or errs
            raise TargetRefused(
                "its host is not on the public internet, nor in a network of "
                "STREAMER_WEBHOOKS__PRIVATE_NETWORKS"
            )
        if url.scheme == "http" and len(private) < len(found):
            raise TargetRefused(
                "http is for the networks of STREAMER_WEBHOOKS__PRIVATE_NETWORKS; use https"
            )
        return found

    async def check(self, url: httpx.URL) -> None:
        """Refuse a target that may not be asked now; one whose name is not known yet is fine.

        Raises:
            InvalidRequest: it may not be.
        """
        try:
            async with asyncio.timeout(_LOOKUP_S):
                await self.addresses(url)
        except TargetRefused as error:
            raise _refused(str(error)) from None
        except (OSError, TimeoutError):
            return


def _refused(detail: str) -> InvalidRequest:
    return InvalidRequest.of("/url", detail)
