"""Arguments of commands, checked so that an error names the option and the remedy."""

import argparse
import contextlib
from collections.abc import Callable, Generator
from pathlib import Path

from httpx import URL, InvalidURL

from service.errors import ServiceError

_SHOWN = 40


class UnusablePath(ServiceError):
    """The system refuses the path of an option."""


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
    with contextlib.suppress(InvalidURL):
        url = URL(text)
        if url.scheme in ("http", "https") and url.host and (url.port or 0) < 1 << 16:
            return text
    raise argparse.ArgumentTypeError(
        f"must be the address of a service, such as http://127.0.0.1:8000, not {text[:_SHOWN]!r}"
    )


def api_key(text: str) -> str:
    """Type of an option that takes an API key."""
    if not text.isascii() or not text.isprintable():
        raise argparse.ArgumentTypeError(
            "must be the key that the service was started with (STREAMER_API_KEY), which has "
            "printable ASCII characters only"
        )
    return text
