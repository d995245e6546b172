"""Mail addresses and links of a text."""

import re
from collections.abc import Iterator

from model_export.contract.folding.contacts.found import Found
from model_export.contract.folding.contacts.handles import parted_by, spread_handle
from model_export.contract.folding.contacts.numbers import dialled
from model_export.contract.folding.contacts.sites import contact_of, site_of
from model_export.contract.folding.letters import Disguise

_DOT = r"(?:\s?[.。]\s?|[(\[](?:dot|点)[)\]]|\s?点\s?|\sdot\s)"
_MAIL = re.compile(
    r"(?<![a-z0-9._%+\-])([a-z0-9][a-z0-9._%+\-]{0,63})\s?"
    r"(?:@|[(\[](?:at|艾特)[)\]]|艾特|圈a|#(?=(?:qq|163|gmail)\s?\.)"
    r"|(?<=[0-9]\s)at(?=\s[a-z0-9\-]{1,63}(?:\sdot\s|[(\[]dot)))\s?"
    rf"((?:[a-z0-9\-]{{1,63}}{_DOT}){{1,4}}[a-z]{{2,12}})(?![a-z0-9])"
)
_AT = ("@", "(at)", "[at]", "#qq", "#163", "#gmail", "艾特", "圈a")
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
_FULL_STOP = re.compile(r"(?<=[a-z])。(?=(?:me|gg|com)/[a-z0-9@+])")
"""A dot of a link that is written as that of Chinese."""
_NAME_OF_WEIBO = re.compile(r"[\w·\-]{2,30}")


def mails(text: str) -> Iterator[Found]:
    """Mail addresses of a plain text."""
    if any(sign in text for sign in _AT) or (" at " in text and "dot" in text):
        for match in _MAIL.finditer(text):
            host = re.sub(_DOT, ".", match[2])
            split = (
                () if "@" in match[0] and " " not in match[0] else (Disguise.PUNCTUATION_BETWEEN,)
            )
            yield Found("email", f"{match[1]}@{host}", match.start(), match.end(), split)


def links(text: str) -> Iterator[Found]:
    """Links of a plain text, but for those that tell nobody."""
    if "。" in text:
        text = _FULL_STOP.sub(".", text)
    if "." not in text:
        return
    for pattern in (_LINK, _ANY_LINK) if _DOTTED.search(text) else (_ANY_LINK,):
        for match in pattern.finditer(text):
            found = _link(text, match)
            if found is not None:
                yield found


def _link(text: str, match: re.Match[str]) -> Found | None:
    host, path = match[1].removeprefix("www."), (match[2] or "").rstrip(".,;:!?/#&")
    end = match.end() - len(match[2] or "") + len(path)
    kind = site_of(host)
    spread = spread_handle(text, match.start(2) + 1) if kind and match[2] else None
    if kind and spread is not None and (spread.separator or spread.has_numerals):
        shown = text[match.start(2) : spread.end]
        disguise = parted_by(shown) if spread.separator else Disguise.HOMOPHONE
        return Found(kind, spread.value, match.start(), spread.end, (disguise,))
    if kind == "weibo" and match[2] == "/n/":  # names of accounts are Chinese
        name = _NAME_OF_WEIBO.match(text, match.end())
        path, end = (path + "/" + name[0], name.end()) if name else (path, end)
    contact = contact_of(host, path)
    if contact is None:
        return None
    kind, value, cased = contact
    value = dialled(value) if kind == "whatsapp" else value
    return Found(kind, value, match.start(), end, cased=cased)
