"""Disguises of what a text says: parts, other order, other words, another language."""

import random
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

LANGUAGES = ("en", "zh", "ja", "ko")
"""Columns of `phrasebook.txt`."""

_OTHER_SCRIPTS = re.compile(
    "arabic|armenian|bengali|cyrillic|devanagari|georgian|greek|gujarati|hebrew|khmer|lao|myanmar|"
    "tamil|telugu|thai"
)
_SENTENCE = re.compile(r".+?(?:[。！？!?\n]+|\.(?=\s|$)|$)\s*", re.DOTALL)
_CLAUSE = re.compile(r"[^，,、;；:：|｜]*(?:[，,、;；:：|｜]\s*|$)")
_ASCII = str.maketrans({"。": ". ", "，": ", ", "！": "! ", "？": "? ", "：": ": ", "、": ", "})
_FILLERS = {
    "en": ("Thanks for stopping by.", "More soon.", "Be kind.", "Since 2021.", "No reposts!"),
    "zh": ("不定时更新。", "谢绝转载。", "请多关照～", "随缘开播。", "禁止搬运！"),
    "ja": ("よろしくお願いします。", "不定期更新です。", "無断転載禁止。"),
    "ko": ("잘 부탁드려요.", "업데이트는 가끔.", "무단 전재 금지."),
}


def language_of(text: str) -> str:
    """Language of a text by its script: kana, hangul, more Han than Latin, else English."""
    kana = sum("\u3040" <= c <= "\u30ff" for c in text)
    hangul = sum("\uac00" <= c <= "\ud7a3" for c in text)
    han = sum("\u4e00" <= c <= "\u9fff" for c in text)
    latin = sum(c.isascii() and c.isalpha() for c in text)
    if hangul * 2 > han and hangul > kana:
        return "ko"
    if kana * 3 > han and kana:
        return "ja"
    return "zh" if han * 3 > latin else "en"


def script_of(text: str) -> str:
    """`language_of` a text, or the name of its script where most letters are of none of these."""
    names = (unicodedata.name(letter, "").lower() for letter in text if letter.isalpha())
    scripts = Counter(name.partition(" ")[0] for name in names).most_common(1)
    is_other = scripts and _OTHER_SCRIPTS.fullmatch(scripts[0][0])
    return scripts[0][0] if is_other else language_of(text)


@dataclass(frozen=True)
class Phrasebook:
    """Meanings with their wordings per language.

    Attributes:
        meanings: language -> wordings, the first the most usual.
        sentences: translator of whole sentences to a language, tried before the words; None or
            None as its answer where it knows none.
    """

    meanings: tuple[dict[str, tuple[str, ...]], ...]
    sentences: Callable[[str, str], str | None] | None = None

    def translated(self, text: str, to: str, rng: random.Random) -> str:
        """Text in another language; words that the book does not know stay as they are."""
        made = []
        for sentence in sentences_of(text):
            whole = self.sentences(sentence.strip(), to) if self.sentences else None
            made.append(whole or self._replaced(sentence, language_of(text), to, rng).strip())
        return (" " if to in ("en", "ko") else "").join(made)

    def paraphrased(self, text: str, rng: random.Random) -> str:
        """Other wordings of what the book knows, in its language."""
        language = language_of(text)
        return self._replaced(text, language, language, rng)

    def _replaced(self, text: str, source: str, to: str, rng: random.Random) -> str:
        known = _wordings(self, source, to)
        if not known:
            return text
        pattern = _pattern(self, source, to)
        apart = " " if source in ("zh", "ja") and to in ("en", "ko") else ""

        def other(match: re.Match[str]) -> str:
            here = match[0].lower()
            options = [w for w in known[here] if w.lower() != here] or list(known[here])
            first = source != to and rng.random() < 0.6
            return f"{apart}{options[0] if first else rng.choice(options)}{apart}"

        made = pattern.sub(other, text)
        if not apart:
            return made
        return re.sub(r"\s+([.,!?:]|$)", r"\1", re.sub(" +", " ", made.translate(_ASCII))).strip()

    def extended(
        self,
        meanings: Iterable[dict[str, tuple[str, ...]]],
        sentences: Callable[[str, str], str | None] | None = None,
    ) -> "Phrasebook":
        """Phrasebook with further meanings, which go first, and a translator of sentences."""
        return Phrasebook((*meanings, *self.meanings), sentences or self.sentences)

    def __hash__(self) -> int:
        """By identity: phrasebooks are made once."""
        return id(self)


@cache
def _wordings(book: Phrasebook, source: str, to: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for meaning in book.meanings:
        if source in meaning and to in meaning and (source != to or len(meaning[to]) > 1):
            for wording in meaning[source]:
                found.setdefault(wording.lower(), meaning[to])
    return found


@cache
def _pattern(book: Phrasebook, source: str, to: str) -> re.Pattern[str]:
    longest_first = sorted(_wordings(book, source, to), key=len, reverse=True)
    either = "|".join(map(re.escape, longest_first))
    return re.compile(rf"\b(?:{either})\b" if source == "en" else either, re.IGNORECASE)


@cache
def general_phrasebook() -> Phrasebook:
    """What streamers say of themselves, in four languages."""
    text = files("training.disguises").joinpath("phrasebook.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    rows = ([tuple(w.strip() for w in c.split("/")) for c in line.split("|")] for line in lines)
    return Phrasebook(tuple(dict(zip(LANGUAGES, row, strict=True)) for row in rows))


def sentences_of(text: str) -> list[str]:
    """Sentences of a text with what ends them; joined they are the text."""
    return [part for part in _SENTENCE.findall(text) if part.strip()]


def partial_paste(text: str, rng: random.Random) -> str:
    """A contiguous part of a text, more than half, among words of one's own."""
    parts = _parts(text)
    if len(parts) > 2:
        count = max(len(parts) * 3 // 5, 2)
        first = rng.randint(0, len(parts) - count)
        kept = "".join(parts[first : first + count]).strip()
    else:
        cut = round(len(text) * rng.uniform(0.1, 0.35))
        kept = (text[cut:] if rng.random() < 0.5 else text[: len(text) - cut]).strip()
    filler = rng.choice(_FILLERS[language_of(text)])
    return f"{filler} {kept}" if rng.random() < 0.5 else f"{kept} {filler}"


def shuffled_sentences(text: str, rng: random.Random) -> str:
    """Sentences in another order; clauses, or words, where there is but one sentence."""
    parts = _parts(text)
    if len(parts) < 2:
        return text
    order = list(range(len(parts)))
    while order == sorted(order):
        rng.shuffle(order)
    blank = "" if language_of(text) in ("zh", "ja") else " "
    return blank.join(parts[i].strip() for i in order)


def translated(text: str, rng: random.Random, book: Phrasebook) -> str:
    """Text in English or Chinese, at times in Japanese or Korean, by a phrasebook."""
    source = language_of(text)
    to = rng.choice([other for other in LANGUAGES if other != source])
    if rng.random() < 0.7 and source in ("en", "zh"):
        to = "en" if source == "zh" else "zh"
    return book.translated(text, to, rng)


def paraphrased(text: str, rng: random.Random, book: Phrasebook) -> str:
    """Other words for what a phrasebook knows, sentences in another order, another ending."""
    made = book.paraphrased(text, rng)
    if rng.random() < 0.6 or made == text:
        made = shuffled_sentences(made, rng)
    if rng.random() < 0.4 or made == text:
        made = f"{made} {rng.choice(_FILLERS[language_of(text)])}"
    return made


def _parts(text: str) -> list[str]:
    """Sentences; clauses, or words, where there is but one."""
    parts = sentences_of(text)
    if len(parts) < 2:
        parts = [part for part in _CLAUSE.findall(text) if part.strip()]
    return parts if len(parts) > 1 else [word + " " for word in text.split()]
