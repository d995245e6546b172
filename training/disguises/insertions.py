"""Disguises that put something between the characters, seen or unseen."""

import random
from collections.abc import Callable

_SPACES = (" ", " ", " ", "\u00a0", "\u2009", "\u2002", "\u3000", "\u205f", "\u202f")
_INVISIBLE = (
    *map(chr, range(0x200B, 0x200E)),
    *map(chr, range(0x2060, 0x2065)),
    *map(chr, range(0xFE00, 0xFE0F)),
    *map(chr, (0xAD, 0x34F, 0x61C, 0x17B4, 0x180B, 0x180E, 0xFEFF, 0x1D173)),
    *map(chr, range(0xE0061, 0xE007B)),
    *map(chr, range(0xE0100, 0xE0110)),
)
_EMOJI = (
    *"🔥✨🎉💯🙌⭐🌸🍀🎵🌈💎🐱🍓👑🎮🚀🦋🌙⚡🍒🐰🎀🌟💋🍭🐟🎁🌊🥇🪐",
    "❤️", "✌️", "👍🏽", "👩‍🎤", "🇨🇳", "🏳️‍🌈", "☀️", "1️⃣",
)  # fmt: skip
_POINTS = tuple(".·•-_/|~*'、。･ˑ‧^+=")


def spaced(text: str, rng: random.Random) -> str:
    """A blank between any two characters of a word; words stand further apart."""
    blank = rng.choice(_SPACES)
    words = (blank.join(word) for word in text.split())
    return (blank * rng.randint(2, 3)).join(words)


def zero_width(text: str, rng: random.Random) -> str:
    """Characters that show nothing, between most characters."""
    kinds = rng.sample(_INVISIBLE, rng.randint(1, 5))
    rate = rng.uniform(0.4, 1.0)
    return _between(text, lambda: rng.choice(kinds) if rng.random() < rate else "")


def bidi(text: str, rng: random.Random) -> str:
    """Words written backwards and shown forwards; or marks of direction between the characters."""
    if rng.random() < 0.4:
        marks = ("\u200e", "\u202d\u202c", "\u2066\u2069", "\u2068\u2069", "\u202a\u202c")
        mark = rng.choice(marks)
        return _between(text, lambda: mark if rng.random() < 0.6 else "")
    begin, end = rng.choice((("\u202e", "\u202c"), ("\u2066\u202e", "\u202c\u2069")))
    if rng.random() < 0.5 or not any(len(word) > 1 for word in text.split(" ")[1:]):
        return "\n".join(f"{begin}{line[::-1]}{end}" for line in text.split("\n"))
    rate = rng.uniform(0.6, 1.0)
    words = text.split(" ")
    return " ".join(
        f"{begin}{w[::-1]}{end}" if len(w) > 1 and rng.random() < rate else w for w in words
    )


def emoji_between(text: str, rng: random.Random) -> str:
    """An emoji every one to three characters."""
    few = rng.sample(_EMOJI, rng.randint(1, 6))
    return _every(text, rng.randint(1, 3), lambda: rng.choice(few))


def punctuation_between(text: str, rng: random.Random) -> str:
    """A punctuation mark every one to two characters."""
    few = rng.sample(_POINTS, rng.randint(1, 2))
    return _every(text, rng.randint(1, 2), lambda: rng.choice(few))


def _between(text: str, mark: Callable[[], str]) -> str:
    return "".join(c + mark() for c in text)


def _every(text: str, step: int, mark: Callable[[], str]) -> str:
    made, since = [], 0
    for i, c in enumerate(text):
        made.append(c)
        since = since + 1 if c.isalnum() else 0
        if since >= step and i + 1 < len(text) and text[i + 1].isalnum():
            made.append(mark())
            since = 0
    return "".join(made)
