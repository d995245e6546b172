"""Text to tokens: the same bytes in every process, for any script.

Normalisation is NFKC, case-folded, with invisible format characters and variation selectors
removed: full-width and half-width forms, ligatures and letters pulled apart by zero-width
characters (a common trick of copied accounts) meet in one token. Unicode guarantees that NFKC of
assigned characters never changes, so only newly assigned characters can differ between Python
releases; the bundle's features fingerprint would show it.
"""

import re
import unicodedata

# Delimiters are spelt out rather than taken from `\w`, which breaks words at combining marks
# (Thai, Hindi) and differs between Unicode versions. `_` stays a letter.
_DELIMITERS = (
    r"\s!-/:-@\[-\^`{-~\u00a1-\u00bf\u2000-\u206f"
    r"\u3000-\u3004\u3008-\u303f\ufe10-\ufe1f\ufe30-\ufe6f"
)
_SYMBOLS = r"\u2190-\u2bff\U0001f000-\U0001faff"  # arrows, shapes, dingbats, emoji: one token each
_WORD = re.compile(rf"[{_SYMBOLS}]|[^{_DELIMITERS}{_SYMBOLS}]+")
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)


def normalise(text: str) -> str:
    """NFKC, case-folded, without invisible characters, runs of white space as one blank."""
    if text.isascii():
        return " ".join(text.lower().split())
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(_INVISIBLE.sub("", folded).split())


def words(normalised: str) -> list[str]:
    """Maximal runs of letters, digits and marks; each emoji or symbol is a word of its own."""
    return _WORD.findall(normalised)


def canonical(text: str) -> str:
    """The words of a text and nothing else: equal for 欢迎关注!!! and 欢迎关注~."""
    return " ".join(words(normalise(text)))


def text_tokens(text: str) -> list[str]:
    """Words (`w=`), and character 2- and 3-grams (`g=`) of words that are not plain ASCII.

    The n-grams serve scripts without blanks between words, and inflected ones; they never cross a
    word's border.
    """
    tokens: list[str] = []
    for word in words(normalise(text)):
        tokens.append("w=" + word)
        if not word.isascii():
            tokens += ["g=" + word[i : i + n] for n in (2, 3) for i in range(len(word) - n + 1)]
    return tokens


def label_token(prefix: str, text: str) -> list[str]:
    """One token for a whole label (a tag, a category, a language); none when nothing is left."""
    label = normalise(text)
    return [f"{prefix}={label}"] if label else []
