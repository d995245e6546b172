"""Types of settings: hosts, keys, lists."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST_PATTERN = re.compile(rf"(?:\*\.{_LABEL}\.|{_LABEL}\.)(?:{_LABEL}\.)*[a-z]{_LABEL}")
"""A name of two labels or more, the last not a number; `*.` stands for any labels before them."""

_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_SENTINEL_PORT = 26379
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


def _host_pattern(text: str) -> str:
    pattern = text.lower()
    if len(pattern) > 253 or not _HOST_PATTERN.fullmatch(pattern):
        raise ValueError(
            f"{text!r} is not a host: write media.example.org, or *.example.org for all below it; "
            "no address, no port, and other scripts in their xn-- form"
        )
    return pattern


def _host_name(text: str) -> str:
    name = text.lower()
    if len(name) > 253 or not _HOST_NAME.fullmatch(name):
        raise ValueError(f"{text!r} is not a host name: write streamers.example.org, with no port")
    return name


def _host_and_port(text: str) -> str:
    """Of a sentinel; the port may be left out."""
    found = _HOST_AND_PORT.fullmatch(text)
    port = int(found[2] or _SENTINEL_PORT) if found else 0
    if found is None or not 0 < port < 65_536:
        raise ValueError(f"{text!r} is not a host and a port: write sentinel-0.example.org:26379")
    return f"{found[1]}:{port}"


def _ascii_key(key: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~](?:[ -~]*[!-~])?", key.get_secret_value()):
        raise ValueError("may have ASCII characters only, as HTTP headers do; choose another key")
    return key


def _by_comma(value: Any) -> Any:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


HostName = Annotated[str, AfterValidator(_host_name)]
HostAndPort = Annotated[str, AfterValidator(_host_and_port)]
HostPattern = Annotated[str, AfterValidator(_host_pattern)]
AsciiKey = Annotated[SecretStr, Field(min_length=1), AfterValidator(_ascii_key)]
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
"""Signatures by a private key; never `none`, and none by a secret that both sides share."""
ByComma = (NoDecode, BeforeValidator(_by_comma))
"""A list in one environment variable: `a,b`."""
