"""Contacts that a text names: handles, phone numbers, mail addresses and links.

They are read up to three times. First from characters without disguise, not from folded words, in
which leetspeak and joined separators would change handles; then, of a disguised text, from what the
folded characters look like; and, of one that is spread, without what stands between.

Digits may be written as words or split. Without a word that announces it, a number is a contact
only as a mobile number of China or after a plus sign, so counts, dates, prices and room numbers are
none. Each pattern is linear in the text.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from model_export.contract.folding.announcements import (
    Announcement,
    announcements,
    letters_in,
)
from model_export.contract.folding.folded import Folded, readable_and_folded, whole
from model_export.contract.folding.handles import (
    EMOJI,
    FEWEST_IN_A_NUMBER,
    GROUPS,
    NUMERALS,
    WIDEST,
    Reading,
    digits_in,
    is_date,
    parted_by,
    spread_handle,
    spread_readings,
)
from model_export.contract.folding.letters import Disguise, Span, Undone
from model_export.contract.folding.platforms import (
    PLATFORMS,
    SECTIONS,
    SITES,
    Kind,
    Platform,
)
from model_export.contract.folding.scripts import phonetic, skeleton


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


class _Found(NamedTuple):
    kind: Kind
    value: str
    start: int
    end: int
    disguises: tuple[Disguise, ...] = ()


_FEWEST_IN_A_CALL = 7
_DIGIT = f"[0-9{''.join(NUMERALS)}]"
_ONE_DIGIT = re.compile(_DIGIT)
_BETWEEN = rf"[ ._·•*~|/,，、\-{EMOJI}]"
_UNITS = (
    r"人|元|块|个|万|千|(?:w|k|stars?)(?![a-z])|年|月|日|天|号房|岁|名|位|粉|星|%|分|点|级|杯|钻|金|票|次|小时"
    r"|€|\$|£|￥|¥"
)
_QUANTITY = rf"(?![^\S\n]?(?:{_UNITS}))"
"""No unit follows; what the next line begins with is none."""
_WORDS = (
    r"号码|账号|帐号|号|群|id(?![a-z0-9])|no\.|no(?![a-z0-9])|是|为|搜索?"
    r"|加|联系|同号|同|公众|订阅|主页|は"
)
_FILL = rf"(?:\s|{_WORDS}|[:：=\-~>+➕@#(\[【「『《<\"'`|,，]|[{EMOJI}]){{0,8}}"
_EXPLICIT = re.compile(r"[:：=@#]|id|号")
_HANDLE = re.compile(r"[a-z0-9][a-z0-9_.\-]{1,39}")
_SPLIT = re.compile(rf"[a-z0-9](?:{_BETWEEN}{{1,2}}[a-z0-9](?![a-z0-9])){{4,24}}")
_NUMBER = re.compile(rf"\+?{_DIGIT}(?:{_BETWEEN}{{0,2}}{_DIGIT}){{4,16}}{_QUANTITY}(?!{_DIGIT})")
_PHONE = re.compile(
    rf"(?<![0-9a-z_.]){_DIGIT}(?:{_BETWEEN}{{0,2}}{_DIGIT}){{10,14}}(?![0-9])(?![a-z_])"
)
_MOBILE = re.compile(r"(?:0086|86)?(1[3-9][0-9]{9})")
_ABROAD = re.compile(r"(?<![0-9a-z])(?:\+|00)[1-9](?:[ .\-()]{0,2}[0-9]){7,14}(?![0-9])")
_CALLS = ("电话", "手机", "热线", "来电", "致电", "座机", "전화", "☎", "📞", "📱", "📲")
_LATIN_CALLS = ("tel", "phone", "telephone", "mobile", "call", "cell")
_CALL = Announcement(
    re.compile(f"(?:{'|'.join(_CALLS)}|(?<![a-z])(?:{'|'.join(_LATIN_CALLS)})(?![a-z]))" + _FILL),
    is_weak=False,
    is_sound=False,
    needles=_CALLS,
    latin=[letters_in(word) for word in _LATIN_CALLS],
)
_COMMA = re.compile("[,，、]")
_SHAPES = frozenset(
    {(11,), (13,), (3, 4, 4), (4, 4, 3), (3, 8), (3, 3, 5), (4, 7), (7, 4), (2, 3, 4, 4), (2, 11)}
)
_DOT = r"(?:\s?[.。]\s?|[(\[](?:dot|点)[)\]]|\s?点\s?|\sdot\s)"
_MAIL = re.compile(
    r"(?<![a-z0-9._%+\-])([a-z0-9][a-z0-9._%+\-]{0,63})\s?"
    r"(?:@|[(\[](?:at|艾特)[)\]]|艾特|圈a|#(?=(?:qq|163|gmail)\s?\.)"
    r"|(?<=[0-9]\s)at(?=\s[a-z0-9\-]{1,63}(?:\sdot\s|[(\[]dot)))\s?"
    rf"((?:[a-z0-9\-]{{1,63}}{_DOT}){{1,4}}[a-z]{{2,12}})(?![a-z0-9])"
)
_AT = ("@", "(at)", "[at]", "#", "艾特", "圈a", " at ")
_TOP = (
    "com|net|org|tv|me|gg|io|co|cn|de|fr|es|it|uk|us|ru|jp|kr|tw|hk|vn|th|br|mx|ca|au|eu|info|biz|xyz|top|vip|cc|"
    "app|shop|live|site|club|link|ly|be|ee|fm|to|online|store|pro|dev|pl|nl|se|pt|in|id|my|sg|ph|ch|at"
)
_LINK = re.compile(
    r"(?<![a-z0-9@.\-_])(?:https?://|www\.)?"
    rf"((?:[a-z0-9][a-z0-9\-]{{0,62}}\.){{1,4}}(?:{_TOP})(?![a-z0-9\-])(?!\.[a-z]))"
    r"(?::[0-9]{2,5})?(/[a-z0-9\-._~%!$&+=:@/?#]{0,300})?"
)
_DOTTED = re.compile(r"\.[a-z]")
_ANY_LINK = re.compile(r"https?://([^\s/<>\"'，。]{3,253})(/[^\s<>\"'，。]{0,300})?")
_LOOKS = str.maketrans("01l59g", "oiisqq")
_SHORTEST_MIXED = 5
"""Characters of a bare @name with digits."""
_MENTION = re.compile(r"(?<![a-z0-9_.@/])@([a-z0-9_][a-z0-9_.]{2,29})(?![a-z0-9@])")


def find_contacts(text: str, most: int = 50) -> list[Contact]:
    """Contacts that a text names, by place, each once.

    Args:
        text: of a profile, undisguised or not.
        most: contacts; of a text with more the first ones are taken.
    """
    readable, folded = readable_and_folded(text)
    plain = readable.text
    kept: list[Contact] = []
    for each in _all(plain):
        _keep(kept, _contact(each, readable), _is_none)
    seen = skeleton(folded.text)
    readings = [] if seen == plain else [Reading(seen, range(len(seen)))]
    for reading in [*readings, *spread_readings(seen)]:
        gives_way = _is_piece if reading.is_put_together else _is_any
        for each in _told(reading.text):
            start, end = reading.places[each.start], reading.places[each.end - 1] + 1
            found = each._replace(start=start, end=end)
            if folded.text[start:end] != seen[start:end]:
                found = found._replace(disguises=(Disguise.CONFUSABLE, *each.disguises))
            if end - start > each.end - each.start:
                found = found._replace(disguises=(parted_by(seen[start:end]), *found.disguises))
            _keep(kept, _contact(found, folded), gives_way)
    turned = {*readable.turned, *folded.turned}
    first: dict[tuple[str, str], Contact] = {}
    for contact in kept:
        first.setdefault((contact.kind, contact.value), contact)
    return [_quoted(contact, text, turned) for contact in islice(first.values(), most)]


def look_of(value: str) -> str:
    """A contact with one character for all that are written for each other, such as `0` and `o`."""
    return value.translate(_LOOKS)


def _contact(found: _Found, folded: Folded) -> Contact:
    """A contact that was found in a folded text, without its quote."""
    start, end = folded.origins[found.start], folded.origins[found.end - 1] + 1
    known = _disguises(folded.undone, start, end)
    disguises = tuple(dict.fromkeys((*known, *found.disguises)))
    return Contact(found.kind, found.value, "", start, end, disguises)


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


def _all(text: str) -> Iterator[_Found]:
    """Contacts of a plain text; of two that overlap the first one counts."""
    yield from _mails(text)
    yield from _links(text)
    yield from _told(text)
    for match in _MENTION.finditer(text) if "@" in text else ():
        name = match[1].rstrip(".")
        if len(name) >= _SHORTEST_MIXED or name.isalpha():  # `@80u7` is a word in leetspeak
            yield _Found("handle", name, match.start(), match.end())


def _told(text: str) -> Iterator[_Found]:
    """Handles behind announcing words, and numbers."""
    sound, letters = phonetic(text), letters_in(text)
    for platform, each in _announcements():
        if each.may_match(sound if each.is_sound else text, letters):
            yield from _announced(platform, each, text, sound)
    yield from _phones(text, letters)


def _mails(text: str) -> Iterator[_Found]:
    if any(sign in text for sign in _AT):
        for match in _MAIL.finditer(text):
            host = re.sub(_DOT, ".", match[2])
            split = (
                () if "@" in match[0] and " " not in match[0] else (Disguise.PUNCTUATION_BETWEEN,)
            )
            yield _Found("email", f"{match[1]}@{host}", match.start(), match.end(), split)


def _links(text: str) -> Iterator[_Found]:
    if "." not in text:
        return
    for pattern in (_LINK, _ANY_LINK) if _DOTTED.search(text) else (_ANY_LINK,):
        for match in pattern.finditer(text):
            host, path = match[1].removeprefix("www."), (match[2] or "").rstrip(".,;:!?/#&")
            end = match.end() - len(match[2] or "") + len(path)
            kind = SITES.get(host.removeprefix("m."))
            spread = spread_handle(text, match.start(2) + 1) if kind and match[2] else None
            if kind and spread is not None and (spread.separator or spread.has_numerals):
                shown = text[match.start(2) : spread.end]
                disguise = parted_by(shown) if spread.separator else Disguise.HOMOPHONE
                yield _Found(kind, spread.value, match.start(), spread.end, (disguise,))
            else:
                yield _of_site(host, path, match.start(), end)


def _of_site(host: str, path: str, start: int, end: int) -> _Found:
    kind = SITES.get(host.removeprefix("m."))
    parts = [part for part in re.split(r"[/?#]", path) if part]
    if kind and parts:
        name = (
            parts[1] if parts[0] in ("user", "c", "add", "u", "invite") and parts[1:] else parts[0]
        )
        name = name.lstrip("@+~")
        if name and name not in SECTIONS:
            return _Found(kind, name, start, end)
    return _Found("url", host + path, start, end)


_FILLED = re.compile(_FILL)


@cache
def _announcements() -> list[tuple[Platform, Announcement]]:
    """How each platform is announced."""
    return [
        (platform, each) for platform in PLATFORMS for each in announcements(platform, f"({_FILL})")
    ]


def _announced(
    platform: Platform, announcement: Announcement, text: str, sound: str
) -> Iterator[_Found]:
    is_weak, is_sound = announcement.is_weak, announcement.is_sound
    for match in announcement.pattern.finditer(sound if is_sound else text):
        if is_sound:
            rest = _FILLED.match(text, match.end())
            fill, end = (rest[0], rest.end()) if rest else ("", match.end())
        else:
            fill, end = match[1], match.end()
        handle = _handle_at(platform, text, end, fill, is_weak)
        if handle is not None:
            value, after, disguises = handle
            if is_sound and match[0] != text[match.start() : match.end()]:
                disguises = (*disguises, Disguise.HOMOPHONE)
            yield _Found(platform.kind, value, match.start(), after, disguises)


def _handle_at(
    platform: Platform, text: str, start: int, fill: str, is_weak: bool
) -> tuple[str, int, tuple[Disguise, ...]] | None:
    spread = spread_handle(text, start)
    if spread is not None and (spread.separator or spread.has_numerals):
        disguises = [Disguise.HOMOPHONE] if spread.has_numerals else []
        if spread.separator:
            disguises.append(parted_by(text[start : spread.end]))
        is_quantity = spread.value.isdigit() and not re.match(_QUANTITY, text[spread.end :][:6])
        if not is_quantity and not is_date(spread.value):
            return spread.value, spread.end, tuple(disguises)
    plain = None if platform.is_general else _plain_handle(platform, text, start, fill, is_weak)
    if plain is not None or spread is None:
        return plain
    # A number is as long as those of people, and no count.
    value, after = spread.value, text[spread.end : spread.end + 6]
    is_long = len(value) >= FEWEST_IN_A_NUMBER and not is_date(value)
    if value.isdigit() and not (is_long and re.match(_QUANTITY, after)):
        return None
    if platform.numeric and not (_EXPLICIT.search(fill) or value[0].isalpha()):
        return None
    return value, spread.end, ()


def _plain_handle(
    platform: Platform, text: str, start: int, fill: str, is_weak: bool
) -> tuple[str, int, tuple[Disguise, ...]] | None:
    number = _NUMBER.match(text, start)
    if number is not None:
        digits, disguises = digits_in(number[0])
        name = _HANDLE.match(text, start)
        longer = name is not None and len(name[0].rstrip(".-")) > len(number[0])
        if platform.numeric or (not longer and _MOBILE.fullmatch(digits)):
            return (digits, number.end(), disguises) if len(digits) <= 15 else None
    if platform.numeric:
        return None
    split = _SPLIT.match(text, start)
    if split is not None:
        value = re.sub(_BETWEEN, "", split[0])
        return value, split.end(), (parted_by(split[0]),)
    match = _HANDLE.match(text, start)
    if match is None:
        return None
    value = match[0].rstrip(".-_") if platform.kind != "instagram" else match[0].rstrip(".-")
    is_name = value[0].isalpha() and any(c.isdigit() or c == "_" for c in value)
    is_told = bool(_EXPLICIT.search(fill)) or is_name
    if len(value) < platform.shortest or (is_weak and not is_told):
        return None
    if value.isdigit() and (len(value) < 6 or is_weak):
        return None
    if (
        re.match(_QUANTITY, text[start + len(value) : start + len(value) + 6]) is None
        and value.isdigit()
    ):
        return None
    return value, start + len(value), ()


def _phones(text: str, letters: AbstractSet[str]) -> Iterator[_Found]:
    if len(_ONE_DIGIT.findall(text)) < _FEWEST_IN_A_CALL:
        return
    for match in _CALL.pattern.finditer(text) if _CALL.may_match(text, letters) else ():
        number = _NUMBER.match(text, match.end())
        if number is not None:
            digits, disguises = digits_in(number[0])
            if 7 <= len(digits) <= 15:
                yield _Found("phone", _national(digits), match.start(), number.end(), disguises)
    for match in _ABROAD.finditer(text):
        yield _Found("phone", _national(re.sub(r"\D", "", match[0])), match.start(), match.end())
    for match in _PHONE.finditer(text):
        digits, disguises = digits_in(match[0])
        mobile = _MOBILE.fullmatch(digits)
        groups = tuple(map(len, GROUPS.findall(match[0])))
        separators = set(filter(None, GROUPS.split(match[0])))
        regular = groups in _SHAPES or max(groups) == 1 or (max(groups) <= 2 and len(groups) > 5)
        regular = regular and (max(groups) == 1 or not _COMMA.search(match[0]))
        if mobile and regular and len(separators) <= 1 + (max(groups) <= 2) * 9:
            yield _Found("phone", mobile[1], match.start(), match.end(), disguises)


def _national(digits: str) -> str:
    """Digits of a number, without the prefix of China, whose mobile numbers are written without."""
    digits = digits.removeprefix("00")
    mobile = _MOBILE.fullmatch(digits)
    return mobile[1] if mobile else digits
