"""Terms of names, tags and bios, and the expressions that find them.

Names and tags are found by any part of them: their terms are the pairs of characters that stand
side by side, and a part of a name is a phrase of such pairs. A name begins and ends with a mark, so
that its beginning and the whole of it are phrases too. Bios are found by words; what is written
without blanks between words (Chinese, Japanese, Korean, Thai and their neighbours) by pairs of
characters, as is usual ("CJK bigrams").

Everything is folded first (`model_export.contract.folding`), so that a disguised name is found by
the plain one, and the reverse. Blanks and punctuation don't count, nor do accents, nor whether a
Chinese character is a traditional one.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from model_export.contract.folding import FOLDING_VERSION, fold, simplified
from service.engine.names.spelling import plain

TERMS_VERSION = f"2.{FOLDING_VERSION}"
"""Of the terms: a file with others is made anew."""
FEWEST_CHARACTERS = 2
"""Of what is searched for, without blanks and punctuation."""
MOST_TAGS = 64
"""Tags of a streamer that are found."""
_MOST_WORD = 40
_MOST_WORDS = 16
"""Words of a question that a bio is compared with."""
_BEGIN, _END = "\ue080", "\ue081"
_TAG, _WORD = "\ue082", "\ue083"
"""What terms begin with, so that a phrase never leaves its field. Private-use characters are no
letters, and those of a text are dropped."""
_UNSPACED = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
)
_RUNS = re.compile(rf"[{_UNSPACED}]+|[^{_UNSPACED}\s]+")
_IS_UNSPACED = re.compile(rf"[{_UNSPACED}]")


class Texts(NamedTuple):
    """What a streamer is found by, folded.

    Attributes:
        name: without blanks and punctuation; empty without a name.
        tags: likewise, each.
        words: of the bio, separated by blanks.
    """

    name: str
    tags: tuple[str, ...]
    words: str

    def terms(self) -> str:
        """All terms, separated by blanks, in an order that keeps phrases together."""
        found = _pairs(_BEGIN + self.name + _END) if self.name else []
        for tag in self.tags:
            found += [_TAG + pair for pair in _pairs(_BEGIN + tag + _END)]
        for run in _RUNS.findall(self.words):
            found += _terms_of_run(run)
        return " ".join(found)


class Question(NamedTuple):
    """What is searched for, as expressions of FTS5, the best matches first.

    Attributes:
        name: the whole name.
        beginning: a longer name that begins so.
        part: a name that has it elsewhere.
        tag: a tag of a streamer whose name does not have it.
        bio: all its words, where neither name nor tags have it; None without words.
    """

    name: str
    beginning: str
    part: str
    tag: str
    bio: str | None


def texts_of(name: str | None, tags: Sequence[str], bio: str | None) -> Texts:
    """What a streamer is found by."""
    folded = [_dense(tag) for tag in tags[:MOST_TAGS]]
    return Texts(
        _dense(name or ""),
        tuple(dict.fromkeys(tag for tag in folded if tag)),
        _words(bio or ""),
    )


def question_of(text: str) -> Question | None:
    """What a text asks for; None where it has too few characters."""
    asked = _dense(text)
    if len(asked) < FEWEST_CHARACTERS:
        return None
    inner = _pairs(asked)
    whole, beginning, part = (
        _phrase([*first, *inner, *last])
        for first, last in (
            ([_BEGIN + asked[0]], [asked[-1] + _END]),
            ([_BEGIN + asked[0]], []),
            ([], []),
        )
    )
    in_tag = _phrase([_TAG + pair for pair in inner])
    runs = _RUNS.findall(_words(text))[:_MOST_WORDS]
    words = " AND ".join(_asked_run(run) for run in runs)
    return Question(
        whole,
        f"{beginning} NOT {whole}",
        f"{part} NOT {beginning}",
        f"{in_tag} NOT {part}",
        f"(({words}) NOT {part}) NOT {in_tag}" if words else None,
    )


def _dense(text: str) -> str:
    """Folded, without blanks, punctuation and what is invisible."""
    return simplified(fold(text).text).translate(_LETTERS)


def _words(text: str) -> str:
    return " ".join(simplified(fold(text).text).translate(_SPACED).split())


def _pairs(text: str) -> list[str]:
    return [text[i : i + 2] for i in range(len(text) - 1)]


def _terms_of_run(run: str) -> list[str]:
    if _IS_UNSPACED.match(run) is None:
        return [_WORD + run[:_MOST_WORD]]
    # The last character alone: one character is found as the beginning of a term.
    return [_WORD + pair for pair in (*_pairs(run), run[-1])]


def _asked_run(run: str) -> str:
    if _IS_UNSPACED.match(run) is None:
        return _phrase([_WORD + run[:_MOST_WORD]])
    if len(run) == 1:
        return f"{_phrase([_WORD + run])}*"
    return _phrase([_WORD + pair for pair in _pairs(run)])


def _phrase(terms: Sequence[str]) -> str:
    return '"' + " ".join(terms) + '"'


class _Kept(dict[int, str]):
    """What becomes of a character, by its code; of each that is met.

    The file's tokenizer separates terms at any ASCII character that is neither letter nor digit:
    the few symbols among them have private-use characters in their place.
    """

    def __init__(self, gap: str) -> None:
        super().__init__()
        self._gap = gap

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        if unicodedata.category(letter)[0] in "ZPC":
            kept = self._gap
        elif code < 128 and not letter.isalnum():
            kept = chr(0xE000 + code)
        else:
            kept = plain(letter)
        self[code] = kept
        return kept


_LETTERS, _SPACED = _Kept(""), _Kept(" ")
