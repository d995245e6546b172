"""Numbers that people are reached by: how they are written, and phone numbers without a handle."""

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from itertools import chain, islice

from model_export.contract.folding.contacts.announcements import Announcements, said
from model_export.contract.folding.contacts.everyday import (
    are_counts,
    are_prices,
    is_calendar,
    is_counted,
    is_date,
    is_round,
    is_series,
)
from model_export.contract.folding.contacts.found import Found
from model_export.contract.folding.contacts.handles import EMOJI, GROUPS, NUMERALS, digits_in

_FEWEST_IN_A_CALL = 7
_DIGIT = f"[0-9{''.join(NUMERALS)}]"
_ONE_DIGIT = re.compile(_DIGIT)
BETWEEN = rf"[ ._·•*~|/,，、\-—–{EMOJI}]"
"""Pattern of a sign between digits."""
_UNITS = (
    r"人|元|块|个|万|千|亿|(?:w|k|stars?)(?![a-z])|年|月|日|天|号房|岁|名(?!额)|位|粉|星|%|分|点|级|杯|钻|金|票|次|小时"
    r"|€|\$|£|￥|¥|款|码|只(?![^\W_])|\+(?!\s?\d)"
)
QUANTITY = rf"(?![^\S\n]?(?:{_UNITS}))"
"""No unit follows; what the next line begins with is none."""
WORDS = (
    r"号码|账号|帐号|号|群|id(?![a-z0-9])|no\.|no(?![a-z0-9])|就?是|为|搜索?"
    r"|加|联系|同号|同|公众|订阅|主页|聊|は|아이디|ไอดี"
)
FILL = (
    rf"(?:\s|{WORDS}|[:：=\-~>+➕@#(\[【「『《<\"'`|,，]|[{EMOJI}]"
    r"|(?<=[\u4e00-\u9fffxq])[/.丨·•—–]{1,3}){0,8}"
)
"""What may stand between a word that announces a contact and the contact.

What also ends sentences and parts titles does so behind Chinese words, `vx` and `qq` alone.
"""
_NUMBER = re.compile(
    rf"\+?{_DIGIT}(?:{BETWEEN}{{0,2}}{_DIGIT}){{4,16}}{QUANTITY}(?!{_DIGIT})(?!(?<=[\s,，]{_DIGIT})群)"
)
_PHONE = re.compile(
    rf"(?<![0-9a-z_.]){_DIGIT}(?:{BETWEEN}{{0,2}}{_DIGIT}){{10,14}}(?![0-9])(?![a-z_])"
)
_BRACKETED = re.compile(
    r"(?<![0-9a-z_.])(1[3-9]\d)[ ]?[(\[【](\d{4})[)\]】][ ]?(\d{4})(?![0-9a-z_])"
)
_MOBILE = re.compile(r"(?:0086|86)?(1[3-9][0-9]{9})")
_ABROAD = re.compile(r"(?<![0-9a-z])(?:\+|00)[1-9](?:[ .\-()]{0,2}[0-9]){7,14}(?![0-9])")
_TRUNK = re.compile(r"\(0\)")
_CALLS = [
    said(word, FILL)
    for word in (
        *("电话", "手机", "热线", "来电", "致电", "座机", "전화", "☎", "📞", "📱", "📲"),
        *("電話", "携帯", "휴대폰", "핸드폰", "연락처", "문의"),
        *("телефон", "тел.", "тел", "контакты", "контакт", "điện thoại", "sđt", "sdt"),
        *("tel.", "tel", "phone", "telephone", "mobile", "call", "cell"),
    )
]
_ANNOUNCEMENTS = Announcements(_CALLS)
_COMMA = re.compile("[,，、]")
_SHAPES = frozenset(
    {(11,), (13,), (3, 4, 4), (4, 4, 3), (3, 8), (3, 3, 5), (4, 7), (7, 4), (2, 3, 4, 4), (2, 11)}
)
_LENGTHS = {
    **dict.fromkeys(("1", "7"), (10, 10)),
    "86": (10, 11),
    **dict.fromkeys(("52", "55", "90", "91", "98"), (10, 12)),
    **dict.fromkeys(
        ("27", "31", "33", "34", "41", "44", "48", "61", "63", "81", "84", "92"), (9, 12)
    ),
}
"""Digits behind calling codes whose numbers have so many, at least and at most."""
_SHORT_CODES = frozenset((
    "1", "7", "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45",
    "46", "47", "48", "49", "51", "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63",
    "64", "65", "66", "81", "82", "84", "86", "90", "91", "92", "93", "94", "95", "98",
))  # fmt: skip
"""Calling codes of fewer than three digits (ITU-T E.164)."""


def number_at(text: str, start: int) -> re.Match[str] | None:
    """A number that is written with signs between its digits, and no unit behind."""
    return _NUMBER.match(text, start)


def is_number_of_nobody(text: str, number: re.Match[str], digits: str) -> bool:
    """Whether a number that a word announces is a day, an hour, a count or sizes."""
    if is_date(digits) or is_round(digits) or is_calendar(text, number.start()):
        return True
    groups = GROUPS.findall(number[0])
    return are_counts(groups) or is_series(groups)


def is_mobile(digits: str) -> bool:
    """Whether digits are a mobile number of China."""
    return _MOBILE.fullmatch(digits) is not None


def national(digits: str) -> str:
    """Digits of a number, without the prefix of China, whose mobile numbers are written without."""
    mobile = _MOBILE.fullmatch(digits)
    return mobile[1] if mobile else digits


def dialled(digits: str) -> str:
    """Digits of a number with its calling code, which `00` may stand before; see `national`."""
    return national(digits.removeprefix("00"))


def phones(text: str, letters: AbstractSet[str]) -> Iterator[Found]:
    """Phone numbers of a plain text.

    Args:
        text: without compatibility forms and capitals.
        letters: `letters_in` of the text.
    """
    if not any(islice(_ONE_DIGIT.finditer(text), _FEWEST_IN_A_CALL - 1, None)):
        return
    calls = (_CALLS[place] for place in _ANNOUNCEMENTS.perhaps_in(text, text, letters))
    for match in chain.from_iterable(each.matches(text) for each in calls):
        number = _NUMBER.match(text, match.end())
        if number is not None:
            digits, disguises = digits_in(number[0])
            if 7 <= len(digits) <= 15 and not is_number_of_nobody(text, number, digits):
                yield Found("phone", dialled(digits), match.start(), number.end(), disguises)
    for match in _ABROAD.finditer(text):
        digits = re.sub(r"\D", "", _TRUNK.sub("", match[0]))
        is_count = is_counted(text, *match.span()) or is_series(GROUPS.findall(match[0]))
        if _may_be_abroad(digits) and not is_count:
            yield Found("phone", dialled(digits), match.start(), match.end())
    for match in _BRACKETED.finditer(text):
        yield Found("phone", "".join(match.groups()), match.start(), match.end())
    for match in _PHONE.finditer(text):
        digits, disguises = digits_in(match[0])
        mobile = _MOBILE.fullmatch(digits)
        groups = GROUPS.findall(match[0])
        if mobile and _is_phone(match[0], groups) and not is_counted(text, *match.span()):
            yield Found("phone", mobile[1], match.start(), match.end(), disguises)


def _is_phone(written: str, groups: list[str]) -> bool:
    """Whether the digits of a mobile number are in the groups that people write."""
    sizes = tuple(map(len, groups))
    separators = set(filter(None, GROUPS.split(written)))
    regular = sizes in _SHAPES or max(sizes) == 1 or (max(sizes) <= 2 and len(sizes) > 5)
    if not regular or (max(sizes) > 1 and _COMMA.search(written)):
        return False
    if len(separators) > 1 + (max(sizes) <= 2) * 9:
        return False
    return not (are_prices(groups) or is_series(groups))


def _may_be_abroad(written: str) -> bool:
    """Whether digits begin with a calling code and are as many as its numbers have."""
    digits = written.removeprefix("00")
    if is_round(digits) or (digits != written and len(digits) < 10):
        return False
    code = next((c for c in (digits[:1], digits[:2]) if c in _SHORT_CODES), digits[:3])
    least, most = _LENGTHS.get(code, (7 if len(code) == 3 else 8, 12))
    return least <= len(digits) - len(code) <= most
