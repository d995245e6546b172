"""Contacts that a text names: handles, phone numbers, mail addresses and links.

They are read up to three times. First from characters without disguise, not from folded words, in
which leetspeak and joined separators would change handles; then, of a disguised text, from what the
folded characters look like; and, of one that is spread, without what stands between.

Digits may be written as words or split. Without a word that announces it, a number is a contact
only as a mobile number of China or after a plus sign, so counts, dates, prices and room numbers are
none. Each pattern is linear in the text.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from model_export.contract.folding.contacts.announced import announced
from model_export.contract.folding.contacts.announcements import letters_in
from model_export.contract.folding.contacts.behind import told_behind
from model_export.contract.folding.contacts.found import Found
from model_export.contract.folding.contacts.handles import (
    WIDEST,
    Reading,
    parted_by,
    spread_readings,
)
from model_export.contract.folding.contacts.links import links, mails
from model_export.contract.folding.contacts.numbers import phones
from model_export.contract.folding.contacts.platforms import Kind
from model_export.contract.folding.folded import Folded, readable_and_folded, whole
from model_export.contract.folding.letters import Disguise, Span, Undone
from model_export.contract.folding.scripts import skeleton


class Contact(NamedTuple):
    """A contact, and where the text names it.

    Attributes:
        kind: platform, or `phone`, `email`, `url`, or `handle` for a bare @name.
        value: canonical; see `look_of` for letters and digits that are written for each other.
        quote: the original's words, announcing word included.
        start: place of the quote in the original.
        end: place after it.
        disguises: undone to read it.
    """

    kind: Kind
    value: str
    quote: str
    start: int
    end: int
    disguises: tuple[Disguise, ...]


_SHORTEST_MIXED = 5
"""Characters of a bare @name with digits."""
_MENTION = re.compile(r"(?<![a-z0-9_.@/])@([a-z0-9_][a-z0-9_.]{2,29})(?![a-z0-9@])")
_EVERYONE = frozenset(("all", "channel", "everyone", "here"))
"""Mentions that call nobody by name."""


def find_contacts(text: str, most: int = 50) -> list[Contact]:
    """Contacts that a text names, by place, each once.

    Args:
        text: of a profile, undisguised or not.
        most: contacts; of a text with more the first ones are taken.
    """
    readable, folded = readable_and_folded(text)
    plain = readable.text
    kept: list[Contact] = []
    letters = letters_in(plain)
    for each in _all(plain, letters):
        _keep(kept, _contact(each, readable, text), _is_none)
    seen = skeleton(folded.text)
    readings: list[Reading] = []
    if seen != plain:
        letters = letters_in(seen)
        readings.append(Reading(seen, range(len(seen))))
    for reading in [*readings, *spread_readings(seen, letters)]:
        gives_way = _is_piece if reading.is_put_together else _is_any
        for each in _told(reading.text, letters_in(reading.text)):
            start, end = reading.places[each.start], reading.places[each.end - 1] + 1
            found = each._replace(start=start, end=end)
            if folded.text[start:end] != seen[start:end]:
                found = found._replace(disguises=(Disguise.CONFUSABLE, *each.disguises))
            if end - start > each.end - each.start:
                found = found._replace(disguises=(parted_by(seen[start:end]), *found.disguises))
            _keep(kept, _contact(found, folded, text), gives_way)
    turned = {*readable.turned, *folded.turned}
    first: dict[tuple[str, str], Contact] = {}
    for contact in kept:
        first.setdefault((contact.kind, contact.value), contact)
    return [_quoted(contact, text, turned) for contact in islice(first.values(), most)]


def _contact(found: Found, folded: Folded, text: str) -> Contact:
    """A contact that was found in a folded text, without its quote."""
    start, end = folded.origins[found.start], folded.origins[found.end - 1] + 1
    known = _disguises(folded.undone, start, end)
    disguises = tuple(dict.fromkeys((*known, *found.disguises)))
    value = found.value
    if found.cased:
        places = range(found.end - found.cased, found.end)
        written = (_as_written(folded, place, text) for place in places)
        value = value[: -found.cased] + "".join(written)
    return Contact(found.kind, value, "", start, end, disguises)


def _as_written(folded: Folded, place: int, text: str) -> str:
    """A character of a folded text as a capital, if the original has one there."""
    plain = unicodedata.normalize("NFKC", text[folded.origins[place]])
    return plain if plain.lower() == folded.text[place] else folded.text[place]


def _quoted(contact: Contact, text: str, turned: Collection[Span]) -> Contact:
    start, end = whole(Span(contact.start, contact.end), turned)
    return contact._replace(quote=text[start:end], start=start, end=end)


def _keep(kept: list[Contact], contact: Contact, gives_way: Callable[[Contact], bool]) -> None:
    """Put a contact in its place, unless it overlaps one that is there.

    A wider one takes the place of all that it overlaps if each of them gives way.
    """
    place = bisect_left(kept, contact.start, key=_start)
    low = place - (place > 0 and kept[place - 1].end > contact.start)
    high = bisect_left(kept, contact.end, place, key=_start)
    width = contact.end - contact.start
    if all(gives_way(each) and each.end - each.start < width for each in kept[low:high]):
        kept[low:high] = [contact]


def _is_none(_: Contact) -> bool:
    return False


def _is_any(_: Contact) -> bool:
    return True


def _is_piece(contact: Contact) -> bool:
    """Whether a handle may be the first piece of one that is spread, since it is no more itself."""
    name = contact.value.strip("_")
    return len(name) <= WIDEST and name.isalpha()


_start = attrgetter("start")


def _disguises(undone: Sequence[Undone], start: int, end: int) -> Iterator[Disguise]:
    for each in undone:
        if each.start < end and start < each.end and each.disguise != Disguise.TRADITIONAL:
            yield each.disguise


def _all(text: str, letters: AbstractSet[str]) -> Iterator[Found]:
    """Contacts of a plain text; of two that overlap the first one counts."""
    yield from mails(text)
    yield from links(text)
    yield from _told(text, letters)
    for match in _MENTION.finditer(text) if "@" in text else ():
        name = match[1].rstrip(".")
        if name in _EVERYONE:
            continue
        if len(name) >= _SHORTEST_MIXED or name.isalpha():  # `@80u7` is a word in leetspeak
            yield Found("handle", name, match.start(), match.end())


def _told(text: str, letters: AbstractSet[str]) -> Iterator[Found]:
    """Handles beside announcing words, and numbers."""
    yield from announced(text, letters)
    yield from told_behind(text)
    yield from phones(text, letters)
