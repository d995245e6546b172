"""What makes two contacts one, however they are written."""

import re

from model_export.contract.folding.contacts.numbers import national

_LOOKS = str.maketrans("oilsgq", "011599")
_PERHAPS_DIGITS = re.compile("[0-9oilsgq]+")
_SIGNS = str.maketrans("", "", "._-")
_MAIL_OF_QQ = re.compile(r"([1-9][0-9]{4,10})@(?:vip\.)?qq\.com")


def look_of(value: str) -> str:
    """A contact with one character for all that are written for each other, such as `0` and `o`.

    Letters are read as digits only beside a digit: `lisaqq` is not `lisa99`.
    """
    return _PERHAPS_DIGITS.sub(_by_look, value)


def _by_look(match: re.Match[str]) -> str:
    written = match[0]
    if any(c.isdigit() for c in written):
        return written.translate(_LOOKS)
    return written.replace("l", "i")


def identity_of(value: str) -> str:
    """What a contact is compared by, whatever it is of: a phone number may be a handle.

    Dots, dashes and underscores of a handle don't count, nor its letters and digits of one look,
    nor the prefix of a number of China. A mail address of a QQ number is that number. Links are
    compared as they are, since theirs are codes.
    """
    if "/" in value:
        return value
    if "@" in value:
        of_qq = _MAIL_OF_QQ.fullmatch(value)
        return of_qq[1] if of_qq else look_of(value)
    return national(look_of(value.translate(_SIGNS)))
