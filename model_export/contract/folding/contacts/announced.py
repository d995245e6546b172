"""Handles that stand behind the words that announce them."""

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from functools import cache

from model_export.contract.folding.contacts.announcements import (
    Announcement,
    Announcements,
    announcements,
)
from model_export.contract.folding.contacts.everyday import (
    is_calendar,
    is_date,
    is_end_of_a_word,
    is_everyday_sound,
    is_everyday_word,
    is_price_or_taste,
    is_product,
    is_title,
)
from model_export.contract.folding.contacts.found import Found
from model_export.contract.folding.contacts.handles import (
    FEWEST_IN_A_NUMBER,
    digits_in,
    parted_by,
    spread_handle,
)
from model_export.contract.folding.contacts.numbers import (
    BETWEEN,
    FILL,
    QUANTITY,
    dialled,
    is_mobile,
    is_number_of_nobody,
    number_at,
)
from model_export.contract.folding.contacts.platforms import PLATFORMS, Platform, Strength
from model_export.contract.folding.letters import Disguise, Span
from model_export.contract.folding.scripts import phonetic

_Handle = tuple[str, int, tuple[Disguise, ...]]

_FILLED = re.compile(FILL)
_EXPLICIT = re.compile(r"[:：=@#]|id|(?<!公众)(?<!订阅)号|아이디|ไอดี")
_ASKS = re.compile(r"(?:加|(?:我|人)的|(?<![a-z])(?:add|my)(?: me)?(?: on)?)\s?$")
_ASKED = re.compile(r"加|@|id|(?<!公众)(?<!订阅)号|아이디|ไอดี")
"""Marks of contact, before an announcing word and behind it."""
_LONGEST_MARK = 12
"""Characters of what may stand before, at most."""
_UNSURE = (Strength.MIXED, Strength.DOUBTFUL)
_COUNT = re.compile(QUANTITY)
_HANDLE = re.compile(r"[a-z0-9][a-z0-9_.\-]{1,39}")
_SPLIT = re.compile(rf"[a-z0-9](?:{BETWEEN}{{1,2}}[a-z0-9](?![a-z0-9])){{4,24}}")
_ALSO = frozenset(("qq", "wx", "vx", "v", "wechat", "weixin", "qqwx", "qqvx"))
"""Words behind a number that name another place where it is one's name: `13812345678qq同号`."""
_ANOTHER = re.compile(r"(?:qq|vx|wx)[0-9]")
_SHORTEST_NUMBER = 6


@cache
def _announcements() -> tuple[list[tuple[Platform, Announcement]], Announcements]:
    """How each platform is announced."""
    found = [
        (platform, each) for platform in PLATFORMS for each in announcements(platform, f"({FILL})")
    ]
    return found, Announcements(each for _, each in found)


def announced(text: str, letters: AbstractSet[str]) -> Iterator[Found]:
    """Handles of a plain text behind words that announce them.

    Args:
        text: without compatibility forms and capitals.
        letters: `letters_in` of the text.
    """
    sound = phonetic(text)
    known, which = _announcements()
    for place in which.perhaps_in(text, sound, letters):
        platform, each = known[place]
        if each.is_sound:
            yield from _by_sound(platform, each, text, sound)
        else:
            yield from _by_word(platform, each, text)


def _by_word(platform: Platform, announcement: Announcement, text: str) -> Iterator[Found]:
    for match in announcement.matches(text):
        if is_end_of_a_word(text, match.start()):
            continue
        fill, start, strength = match[1], match.end(), announcement.strength
        if not fill and _is_letter(text[start - 1]) and _is_letter(text[start : start + 1]):
            if is_everyday_word(text, start):
                continue
            strength = Strength.MIXED  # a word may begin like this one
        handle = _handle_at(platform, text, Span(match.start(), start), fill, strength)
        if handle is not None:
            yield Found(platform.kind, handle[0], match.start(), *handle[1:])


def _by_sound(
    platform: Platform, announcement: Announcement, text: str, sound: str
) -> Iterator[Found]:
    for match in announcement.matches(sound):
        word = text[match.start() : match.end()]
        if word in platform.spoken or (platform.kind == "wechat" and is_price_or_taste(word)):
            continue  # that is what `_by_word` reads
        rest = _FILLED.match(text, match.end())
        fill, end = (rest[0], rest.end()) if rest else ("", match.end())
        strength = Strength.MIXED if is_everyday_sound(word) else announcement.strength
        handle = _handle_at(platform, text, Span(match.start(), end), fill, strength)
        if handle is not None:
            value, after, disguises = handle
            disguises = (*disguises, Disguise.HOMOPHONE)
            yield Found(platform.kind, value, match.start(), after, disguises)


def _is_letter(character: str) -> bool:
    return character.isascii() and character.isalpha()


def _handle_at(
    platform: Platform, text: str, before: Span, fill: str, strength: Strength
) -> _Handle | None:
    start = before.end
    is_told = _EXPLICIT.search(fill) is not None
    if is_calendar(text, start) or (not is_told and is_product(text, start)):
        return None
    if platform.is_general and is_everyday_word(text, start):
        return None
    if "/" in fill and _ANOTHER.match(text, start):
        return None  # `微信/qq12345678` names two places
    is_asked = strength in _UNSURE and _is_asked(text, before, fill)
    if strength == Strength.DOUBTFUL:
        strength = Strength.WEAK if is_asked else Strength.MIXED
    found = _any_handle(platform, text, start, strength, is_told=is_told)
    if found is None or (strength == Strength.SIGNED and not is_told and "_" not in found[0]):
        return None
    is_topic = strength == Strength.MIXED and not is_asked and is_title(found[0])
    return None if is_topic else found


def _is_asked(text: str, before: Span, fill: str) -> bool:
    """Whether a mark of contact is near an announcing word, which its `fill` ends."""
    asks = _ASKS.search(text, max(0, before.start - _LONGEST_MARK), before.start)
    is_told = not fill and text.startswith(("vx", "wx"), before.end - 2)
    return is_told or bool(asks or _ASKED.search(fill))


def _any_handle(
    platform: Platform, text: str, start: int, strength: Strength, *, is_told: bool
) -> _Handle | None:
    spread = None if platform.kind == "phone" else spread_handle(text, start)
    if spread is not None and (spread.separator or spread.has_numerals):
        disguises = [Disguise.HOMOPHONE] if spread.has_numerals else []
        if spread.separator:
            disguises.append(parted_by(text[start : spread.end]))
        is_quantity = spread.value.isdigit() and not _COUNT.match(text, spread.end)
        if not is_quantity and not is_date(spread.value):
            return spread.value, spread.end, tuple(disguises)
    plain = None
    if not platform.is_general:
        plain = _plain_handle(platform, text, start, strength, is_told=is_told)
    if plain is not None or spread is None:
        return plain
    # A number is as long as those of people, and no count.
    value = spread.value
    is_long = len(value) >= FEWEST_IN_A_NUMBER and not is_date(value)
    if value.isdigit() and not (is_long and _COUNT.match(text, spread.end)):
        return None
    if platform.numeric and (value.isdigit() or not (is_told or value[0].isalpha())):
        return None
    return value, spread.end, ()


def _plain_handle(
    platform: Platform, text: str, start: int, strength: Strength, *, is_told: bool
) -> _Handle | None:
    number = number_at(text, start)
    if number is not None:
        digits, disguises = digits_in(number[0])
        name = _HANDLE.match(text, start)
        behind = name[0][len(number[0]) :].rstrip(".-") if name else ""
        if platform.numeric or (is_mobile(digits) and (not behind or behind in _ALSO)):
            is_right = len(digits) <= 15 and not is_number_of_nobody(text, number, digits)
            return (dialled(digits), number.end(), disguises) if is_right else None
    if platform.numeric:
        return None
    split = _SPLIT.match(text, start)
    if split is not None:
        value = re.sub(BETWEEN, "", split[0])
        return value, split.end(), (parted_by(split[0]),)
    match = _HANDLE.match(text, start)
    if match is None:
        return None
    value = match[0].rstrip(".-_") if platform.kind != "instagram" else match[0].rstrip(".-")
    if len(value) < platform.shortest or not _may_follow(strength, value, is_told=is_told):
        return None
    if value.isdigit() and not _COUNT.match(text, start + len(value)):
        return None
    return value, start + len(value), ()


def _may_follow(strength: Strength, value: str, *, is_told: bool) -> bool:
    """Whether a handle may follow a word; see `Strength`. Long numbers are read otherwise too."""
    if value.isdigit():
        is_number = len(value) >= _SHORTEST_NUMBER and not is_date(value)
        return is_number and strength in (Strength.SURE, Strength.USUAL)
    is_mixed = any(c.isdigit() or c == "_" for c in value)
    is_name = value[0].isalpha() and is_mixed
    if strength == Strength.SURE:
        return True
    if strength == Strength.MIXED:
        return is_name
    return is_told or is_name or (strength == Strength.USUAL and is_mixed)
