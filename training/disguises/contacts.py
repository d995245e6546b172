"""Handles by which people are reached elsewhere, and how they are hidden in a bio."""

import random
import re
import string
from collections.abc import Callable

from training.disguises.chinese import numerals

_PLACES = (
    "微信：{}", "VX {}", "加V {}", "+v：{}", "薇❤️{}", "威信 {}", "wx: {}", "扣扣 {}", "QQ：{}",
    "企鹅号 {}",
    "TG @{}", "Telegram: {}", "合作加 {}", "line id: {}", "ins: {}", "контакт: {}", "t.me/{}",
    "dm me on telegram {}", "wechat {}", "카톡 {}", "連絡は {} まで",
)  # fmt: skip
HANDLE = re.compile(
    r"(?<![A-Za-z0-9])(?=[A-Za-z0-9_.-]*\d{2})[A-Za-z0-9][A-Za-z0-9_.-]{3,30}[A-Za-z0-9]"
)
_KEYCAP = "️⃣"


def handle(rng: random.Random) -> str:
    """A made-up handle: letters and digits, or digits alone."""
    if rng.random() < 0.4:
        return str(rng.randint(10**7, 10**10 - 1))
    letters = "".join(rng.choices(string.ascii_lowercase, k=rng.randint(3, 7)))
    return f"{letters}{rng.choice(('', '_'))}{rng.randint(10, 99999)}"


def contact_line(name: str, rng: random.Random, hidden: bool = False) -> str:
    """A line that names a handle, behind the word for a place; hidden or as it is."""
    return rng.choice(_PLACES).format(hide(name, rng) if hidden else name)


def shared_handle(text: str, rng: random.Random) -> str:
    """Hides the handles that a text names; a text without digits is returned as it is."""
    return HANDLE.sub(lambda match: hide(match[0], rng), text)


def hide(name: str, rng: random.Random) -> str:
    """A handle that a person can still type."""
    return rng.choice(_WAYS)(name, rng)


def _keycaps(name: str, rng: random.Random) -> str:
    return "".join(c + _KEYCAP if c.isdigit() else c for c in name)


def _dotted(name: str, rng: random.Random) -> str:
    return rng.choice((".", "·", " ", "-", "。", "★", "…")).join(name)


def _wide(name: str, rng: random.Random) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in name)


def _circled(name: str, rng: random.Random) -> str:
    digits = "⓪①②③④⑤⑥⑦⑧⑨"
    return "".join(digits[int(c)] if c.isdigit() else c for c in name)


def _emoji_inside(name: str, rng: random.Random) -> str:
    emoji = rng.choice("❤🌸🔥⭐🍀")
    step = rng.randint(2, 3)
    return emoji.join(name[i : i + step] for i in range(0, len(name), step))


def _both(name: str, rng: random.Random) -> str:
    return _dotted(numerals(name, rng), rng)


_WAYS: tuple[Callable[[str, random.Random], str], ...] = (
    _keycaps, numerals, _dotted, _wide, _circled, _emoji_inside, _both,
)  # fmt: skip
