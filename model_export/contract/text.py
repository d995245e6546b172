"""Text to tokens: the same bytes in every process, for any script.

Normalisation is NFKC, case-folded by Unicode's default rules (no language's own, so that Turkish
dotted and dotless i stay two letters), without control characters, invisible format characters and
variation selectors: full-width and half-width forms, ligatures and letters pulled apart by
zero-width characters (a common trick of copied accounts) meet in one token. Normalising twice
changes nothing. Unicode guarantees that NFKC of assigned characters never changes, so only newly
assigned characters can differ between Python releases; the bundle's features fingerprint would
show it.
"""

import re
import unicodedata

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
"""So often is a chance no more."""
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5"
    r"\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
    r"\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def normalise(text: str) -> str:
    """NFKC, case-folded, without invisible characters, runs of white space as one blank."""
    if text.isascii() and text.isprintable():
        return " ".join(text.lower().split())
    # Before NFKC: a character that can't be seen must not keep two others from being composed.
    visible = _INVISIBLE.sub("", text)
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", visible).casefold())
    return " ".join(folded.split())


def readable(text: str) -> str:
    """As `normalise`, with its capital letters: what a pretrained encoder is given to read."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    return " ".join(unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).split())


def words(normalised: str) -> list[str]:
    """Maximal runs of letters, digits and marks; each emoji or symbol is a word of its own."""
    return _WORD.findall(normalised)


def canonical(text: str) -> str:
    """The words of a text and nothing else: equal for 欢迎关注!!! and 欢迎关注~."""
    return " ".join(words(normalise(text)))


def template(text: str) -> str:
    """What is left of a text without its numbers, punctuation, emoji and blanks.

    Equal for `video 12` and `Video #7!`, whose numbers are all 0. A text of emoji alone, or of more
    than two numbers, stays as its words: they may be all that it says, as where words are given by
    their numbers in a list.
    """
    spelt = [word for word in words(normalise(text)) if not _SYMBOL.fullmatch(word)]
    numbers = sum(len(_NUMBER.findall(word)) for word in spelt)
    if not spelt or numbers > _MOST_NUMBERS:
        return canonical(text)
    return _NUMBER.sub("0", "".join(spelt))


def is_empty_talk(text: str) -> bool:
    """Whether a text says nothing, whoever shows it: hahahaha, 哈哈哈, 666, or no word at all.

    It is one piece of three letters or fewer, again and again, or a number.
    """
    left = template(text)
    if _SYMBOL.search(left):
        return False
    return left in ("", "0") or any(
        len(left) >= _AGAIN * length and left[length:] == left[:-length] for length in (1, 2, 3)
    )


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
