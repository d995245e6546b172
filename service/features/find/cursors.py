"""Cursors of pages of what was found; each is of one question."""

import hashlib

from service.engine.names.finder import Place, place_of, str_of
from service.errors import InvalidRequest
from service.http.headers import cursors


def find_cursor(place: Place | None, text: str, wanted: str = "") -> str | None:
    """The cursor behind a place; None of None.

    Args:
        place: of the last streamer of the page.
        text: what was searched for.
        wanted: the filter.
    """
    return cursors.cursor_of(str_of(place), _listing(text, wanted))


def find_place(cursor: str | None, text: str, wanted: str = "") -> Place:
    """The place of a cursor; the beginning without one.

    Raises:
        InvalidRequest: this service gave no such cursor, or for another question.
    """
    found = cursors.place_of(cursor, _listing(text, wanted))
    place = place_of(found) if found else Place()
    if place is None:
        raise InvalidRequest.of_cursor()
    return place


def _listing(text: str, wanted: str) -> str:
    digest = hashlib.sha256(f"{len(text)} {text}{wanted}".encode())
    return f"names-{digest.hexdigest()[:12]}"
