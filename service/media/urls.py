"""Which URLs may be asked: decided from the parsed URL, before its name is resolved."""

import re
from dataclasses import dataclass

import httpx

from service.errors import MediaNotFetched, UrlRefused
from service.settings import Media

_MAX_LENGTH = 2048
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*")
_SEND_DATA = "or send the bytes as data and content_type"
_NO_REDIRECT = "give the URL at which the bytes are"


@dataclass(frozen=True)
class Target:
    """One place to ask. Parsed once: nothing later goes back to the text.

    Attributes:
        url: with an ASCII host, in lower case.
        pointer: JSON pointer of the field that led here, for errors.
        redirected: whether another server named it; then errors don't tell what it is.
    """

    url: httpx.URL
    pointer: str
    redirected: bool = False

    @property
    def host(self) -> str:
        """ASCII, lower case."""
        return self.url.raw_host.decode("ascii")

    @property
    def port(self) -> int:
        """443 unless the URL names another."""
        return 443 if self.url.port is None else self.url.port

    def refused(self, problem: str, remedy: str) -> UrlRefused:
        """The error for a URL that `problem`."""
        return _refused(self.pointer, self.redirected, problem, remedy)

    def useless(self, problem: str, remedy: str) -> MediaNotFetched:
        """The error for a URL whose answer `problem`."""
        return MediaNotFetched.of(self.pointer, f"{problem}; {remedy}")


class UrlRules:
    """The hosts and ports of the settings, applied to URLs and to what they redirect to."""

    def __init__(self, settings: Media) -> None:
        """With no hosts, every URL is refused."""
        self._names = frozenset(h for h in settings.url_hosts if not h.startswith("*"))
        self._suffixes = tuple(h[1:] for h in settings.url_hosts if h.startswith("*"))
        self._ports = frozenset(settings.url_ports)

    def check(self, url: str, pointer: str) -> Target:
        """The place that a caller's URL means.

        Raises:
            UrlRefused: it may not be asked.
        """
        if not self._names and not self._suffixes:
            raise UrlRefused.of(
                pointer,
                "URLs are not fetched by this service: send the bytes as data and content_type "
                "(whoever runs it may allow hosts in STREAMER_MEDIA__URL_HOSTS)",
            )
        return self._checked(url, pointer, None)

    def redirect(self, target: Target, location: str) -> Target:
        """The place that an answer of `target` redirects to, by the same rules.

        Raises:
            UrlRefused: it may not be asked.
        """
        return self._checked(location, target.pointer, target.url)

    def _checked(self, text: str, pointer: str, base: httpx.URL | None) -> Target:
        redirected = base is not None
        try:
            if len(text) > _MAX_LENGTH:
                raise httpx.InvalidURL("too long")
            target = Target(base.join(text) if base else httpx.URL(text), pointer, redirected)
        except (httpx.InvalidURL, ValueError):  # the latter from below httpx
            rule = f"write https://host/path in at most {_MAX_LENGTH} characters"
            raise _refused(pointer, redirected, "is not a proper URL", rule) from None
        if target.url.scheme != "https":
            raise target.refused("is not https", "start it with https://")
        if target.url.userinfo:
            raise target.refused("carries a user name or password", "leave them out")
        if not _NAME.fullmatch(target.host):
            raise target.refused("has no host name", "name the host, not its address")
        if target.host not in self._names and not target.host.endswith(self._suffixes):
            raise target.refused(
                "is on a host that is not allowed here",
                f"use one of STREAMER_MEDIA__URL_HOSTS, {_SEND_DATA}",
            )
        if target.port not in self._ports:
            allowed = ", ".join(map(str, sorted(self._ports)))
            raise target.refused("is on a port that is not allowed here", f"allowed: {allowed}")
        return target


def _refused(pointer: str, redirected: bool, problem: str, remedy: str) -> UrlRefused:
    if redirected:
        problem, remedy = f"redirects to a URL that {problem}", _NO_REDIRECT
    return UrlRefused.of(pointer, f"{problem}; {remedy}")
