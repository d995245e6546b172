"""Arguments of commands, checked so that an error names the option and the remedy."""

import argparse
import contextlib
import os
from collections.abc import Callable, Generator
from pathlib import Path

from httpx import URL, InvalidURL

from service.errors import ServiceError

_SHOWN = 40


class UnusablePath(ServiceError):
    """The system refuses the path of an option."""


class UnusableKey(ServiceError):
    """The API key has characters that no header may have."""


@contextlib.contextmanager
def using(option: str, path: Path, remedy: str) -> Generator[None, None, None]:
    """Name the option, its path and the remedy when the system refuses the path.

    Raises:
        UnusablePath: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UnusablePath(f"{option} {path} can't be used ({reason}): {remedy}") from error


def whole_number(least: int, most: int = 2**31 - 1) -> Callable[[str], int]:
    """Type of an option that takes a whole number from `least` to `most`."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {least} to {most}, not {text[:_SHOWN]!r}"
            )
        return number

    return read


def address(text: str) -> str:
    """Type of an option that takes the address of a service."""
    with contextlib.suppress(InvalidURL, UnicodeError):
        url = URL(text)
        # httpx escapes what no name has; an IPv6 address may have a zone.
        is_host = url.host and ("%" not in url.host or ":" in url.host)
        if url.scheme in ("http", "https") and is_host and (url.port or 0) < 1 << 16:
            return text
    raise argparse.ArgumentTypeError(
        f"must be the address of a service, such as http://127.0.0.1:8000, not {text[:_SHOWN]!r}"
    )


def add_service(parser: argparse.ArgumentParser) -> None:
    """Add the option that names a running service; its key comes from the environment alone."""
    parser.add_argument(
        "--url",
        type=address,
        default=os.environ.get("STREAMER_URL") or "http://127.0.0.1:8000",
        help="of the service (STREAMER_URL, http://127.0.0.1:8000); its key is STREAMER_API_KEY",
    )


def add_timeout(
    parser: argparse.ArgumentParser, default_s: int, bounds: str, *, least: int = 1
) -> None:
    """Add the option that bounds how long a running service is waited for, `bounds` says what."""
    parser.add_argument(
        "--timeout",
        type=whole_number(least, most=86_400),
        default=default_s,
        metavar="S",
        help=f"{bounds} ({default_s} s)",
    )


def not_allowed(address: str, detail: str, status: int) -> str:
    """What to say where a service at `address` answers 401 or 403 with `detail`."""
    if status == 401 and not os.environ.get("STREAMER_API_KEY"):
        return f"{address} needs an API key: set STREAMER_API_KEY to the one that you were given"
    return f"{address}: {detail}; the key is that of STREAMER_API_KEY"


def api_key() -> str | None:
    """The API key of the environment: an argument could be read by anyone on the machine.

    Raises:
        UnusableKey: it can't be sent.
    """
    from service.client.connections import is_key  # which commands without a service need not

    key = os.environ.get("STREAMER_API_KEY") or None
    if key is not None and not is_key(key):
        raise UnusableKey(
            "STREAMER_API_KEY can't be sent: set it to the key alone, without blanks or line "
            "ends around it; a key has printable ASCII characters only"
        )
    return key
