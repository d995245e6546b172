"""Handles that stand before the word that announces them: `abc8866（微信）`."""

import re
from collections.abc import Iterator

from model_export.contract.folding.contacts.everyday import is_calendar, is_date, is_product
from model_export.contract.folding.contacts.found import Found
from model_export.contract.folding.contacts.numbers import dialled
from model_export.contract.folding.contacts.platforms import Kind

_KINDS: dict[str, Kind] = {
    "微信": "wechat",
    "薇信": "wechat",
    "威信": "wechat",
    "v信": "wechat",
    "vx": "wechat",
    "wx": "wechat",
    "wechat": "wechat",
    "微": "wechat",
    "薇": "wechat",
    "v": "wechat",
    "qq": "qq",
    "扣扣": "qq",
    "telegram": "telegram",
    "tg": "telegram",
    "电报": "telegram",
    "whatsapp": "whatsapp",
    "line": "line",
    "ins": "instagram",
    "ig": "instagram",
}
_WORDS = "|".join(_KINDS)
_BEHIND = re.compile(
    rf"[ ]?[(\[【][ ]?({_WORDS})(?:同?号|id)?[ ]?[)\]】]|[ ]?就?是我的?[ ]?({_WORDS})(?![a-z])"
)
_NEEDLES = ("(", "[", "【", "是我")
_MOST = 40
_BACKWARDS = re.compile(r"[a-z0-9_](?:[a-z0-9_.\-]{3,28}[a-z0-9])(?![a-z0-9_.\-@/+])")
_FEWEST_DIGITS = 6


def told_behind(text: str) -> Iterator[Found]:
    """Handles of a plain text before the words that announce them."""
    if not any(needle in text for needle in _NEEDLES):
        return
    for match in _BEHIND.finditer(text):
        written = _BACKWARDS.match(text[max(0, match.start() - _MOST) : match.start()][::-1])
        if written is None:
            continue
        value, kind = written[0][::-1], _KINDS[match[1] or match[2]]
        start = match.start() - len(value)
        if is_calendar(text, start) or is_product(text, start):
            continue
        is_mixed = any(c.isdigit() or c == "_" for c in value)
        is_name = value[0].isalpha() and is_mixed and kind not in ("qq", "whatsapp")
        is_number = value.isdigit() and len(value) >= _FEWEST_DIGITS and not is_date(value)
        if is_name or is_number:
            yield Found(kind, dialled(value), start, match.end())
