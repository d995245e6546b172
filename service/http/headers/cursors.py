"""Opaque cursors: a place in a listing, as text that fits into a URL."""

import base64
from typing import Annotated

from fastapi import Query

from service.errors import InvalidRequest

MOST_CHARS = 512
_MOST_DIGITS = 15
Cursor = Annotated[
    str | None, Query(max_length=MOST_CHARS, description="next_cursor of the previous page.")
]
"""Parameter of a listing in pages."""


def cursor_of(place: str | None, listing: str) -> str | None:
    """The cursor of a place in a listing; None of None."""
    if place is None:
        return None
    return base64.urlsafe_b64encode(f"{listing}|{place}".encode()).decode().rstrip("=")


def place_of(cursor: str | None, listing: str) -> str:
    """The place of a cursor; "" without one.

    Raises:
        InvalidRequest: this service gave no such cursor, or gave it for another listing, where it
            would skip what it should not.
    """
    if cursor is None:
        return ""
    try:
        place = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
    except ValueError:
        place = ""
    if not place or not place.isprintable():
        raise InvalidRequest.of_cursor()
    if not place.startswith(f"{listing}|"):
        raise InvalidRequest.of_parameter(
            "cursor", "is of another listing or order: begin without a cursor"
        )
    return place.removeprefix(f"{listing}|")


def number_of(place: str) -> int:
    """The number that a place is; 0 of none.

    Raises:
        InvalidRequest: it is none that this service gave.
    """
    if not place:
        return 0
    if not (place.isascii() and place.isdecimal() and len(place) <= _MOST_DIGITS):
        raise InvalidRequest.of_cursor()
    return int(place)
