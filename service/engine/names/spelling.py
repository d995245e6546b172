"""What people leave out when they type a name: accents, points of vowels, kinds of a letter."""

import unicodedata

_MARKED = (
    (0x0041, 0x024F),  # Latin
    (0x0300, 0x052F),  # marks of several scripts, Greek, Cyrillic
    (0x0590, 0x06FF),  # Hebrew, Arabic
    (0x1E00, 0x1FFF),  # Latin, Greek
)
"""Of other scripts marks are not left out: in Thai and Devanagari they are vowels."""
_SAME = {
    **dict(zip("đðħıłøŧ", "ddhilot", strict=True)),
    "æ": "ae", "œ": "oe", "þ": "th", "ß": "ss",
    # Arabic, as Persian keyboards and hasty hands write it.
    "\u0671": "\u0627", "\u06cc": "\u064a", "\u0649": "\u064a", "\u06a9": "\u0643",
    "\u0629": "\u0647", "\u0640": "",
    # Characters of Japanese names that keyboards rarely have.
    "髙": "高", "﨑": "崎", "𠮷": "吉",
}  # fmt: skip


def plain(letter: str) -> str:
    """A folded character as it is searched for: without its marks, nothing for a mark."""
    if letter in _SAME:
        return _SAME[letter]
    if not any(first <= ord(letter) <= last for first, last in _MARKED):
        return letter
    parts = unicodedata.normalize("NFD", letter)
    bases = [part for part in parts if unicodedata.category(part) != "Mn"]
    return "".join(_SAME.get(base, base) for base in bases)
