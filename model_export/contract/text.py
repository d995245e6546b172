"""Text normalisation and tokenisation, identical in every process and for any script.

Normalisation is NFKC with Unicode default case folding (language independent, so Turkish dotted and
dotless i stay distinct), and removes control characters, invisible format characters and variation
selectors. Full-width and half-width forms, ligatures, and letters separated by zero-width
characters (a common disguise of copied accounts) therefore give the same token. Normalisation is
idempotent. Unicode guarantees that NFKC of assigned characters never changes, so Python releases
can differ only in newly assigned characters, which the bundle's feature fingerprint would detect.
"""

import re
import unicodedata
from functools import lru_cache

# Delimiters are spelt out rather than taken from `\w`, which breaks words at combining marks
# (Thai, Hindi) and differs between Unicode versions. `_` stays a letter.
_PUNCTUATION = (
    r"!-/:-@\[-\^`{-~\u00a1-\u00bf\u00d7\u00f7\u2000-\u206f\u20a0-\u20cf\u2e00-\u2e7f"  # common
    r"\u3000-\u3004\u3008-\u303f\u30a0\u30fb\ufe10-\ufe1f\ufe30-\ufe6f"  # Chinese, Japanese
    r"\u055a-\u055f\u0589\u058a\u05be\u05c0\u05c3\u05c6\u05f3\u05f4"  # Armenian, Hebrew
    r"\u0609\u060a\u060c\u060d\u061b\u061d-\u061f\u066a-\u066d\u06d4\ufd3e\ufd3f"  # Arabic
    r"\u0964\u0965\u0970\u0df4\u0e4f\u0e5a\u0e5b"  # of India, Sinhala, Thai
    r"\u0f08\u0f0b-\u0f12\u104a-\u104f\u1360-\u1368\u17d4-\u17d6\u17d8-\u17da\u1800-\u180a"
)
_SYMBOLS = r"\u2190-\u2bff\U0001f000-\U0001faff"  # arrows, shapes, dingbats, emoji: one token each
_WORD = re.compile(rf"[{_SYMBOLS}]|[^\s{_PUNCTUATION}{_SYMBOLS}]+")
_SYMBOL = re.compile(rf"[{_SYMBOLS}]")
_NUMBER = re.compile(r"\d+")
_MOST_NUMBERS = 2
_AGAIN = 3
"""Repetitions from which a repeated piece counts as meaningless."""
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5"
    r"\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
    r"\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def normalise(text: str) -> str:
    """Normalised text: NFKC, case-folded, visible characters, single blanks."""
    if text.isascii() and text.isprintable():
        return " ".join(text.lower().split())
    # Before NFKC, since an invisible character would prevent composition.
    visible = _INVISIBLE.sub("", text)
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", visible).casefold())
    return " ".join(folded.split())


def readable(text: str) -> str:
    """Normalised text with its original case, the input of pretrained text encoders."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    return " ".join(unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).split())


def words(normalised: str) -> list[str]:
    """Words: maximal runs of letters, digits and marks; each emoji or symbol is one word."""
    return _WORD.findall(normalised)


@lru_cache(maxsize=8)
def _words_of(text: str) -> tuple[str, ...]:
    """Words of a text as it is written; of the last texts, which are asked for several times."""
    return tuple(words(normalise(text)))


def canonical(text: str) -> str:
    """Words of a text joined by blanks; equal for 欢迎关注!!! and 欢迎关注~."""
    return " ".join(_words_of(text))


@lru_cache(maxsize=8)
def template(text: str) -> str:
    """Text without punctuation, emoji and blanks, and with every number replaced by 0.

    It is equal for `video 12` and `Video #7!`. A text of emoji alone, or with more than two
    numbers, keeps its words, since they may be its whole content.
    """
    spelt = whole = canonical(text)
    if _SYMBOL.search(whole):
        spelt = " ".join(word for word in _words_of(text) if not _SYMBOL.fullmatch(word))
    numbers = len(_NUMBER.findall(spelt))
    if not spelt or numbers > _MOST_NUMBERS:
        return whole
    joined = spelt.replace(" ", "")
    return _NUMBER.sub("0", joined) if numbers else joined


def is_empty_talk(text: str) -> bool:
    """Whether a text is meaningless, such as hahahaha, 哈哈哈, 666 or punctuation.

    That is a number, no word, or a repeated unit of at most three letters.
    """
    left = template(text)
    if _SYMBOL.search(left):
        return False
    return left in ("", "0") or any(
        len(left) >= _AGAIN * length and left[length:] == left[:-length] for length in (1, 2, 3)
    )


def text_tokens(text: str) -> list[str]:
    """Tokens of a text: words (`w=`), and character 2- and 3-grams (`g=`) of non-ASCII words.

    The n-grams serve scripts without blanks and inflected languages; they never cross words.
    """
    tokens: list[str] = []
    for word in words(normalise(text)):
        tokens.append("w=" + word)
        if not word.isascii():
            tokens += ["g=" + word[i : i + n] for n in (2, 3) for i in range(len(word) - n + 1)]
    return tokens


def label_token(prefix: str, text: str) -> list[str]:
    """Token of a whole label (tag, category or language); none if it normalises to nothing."""
    label = normalise(text)
    return [f"{prefix}={label}"] if label else []
