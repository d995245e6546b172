"""Phrases that two lists of texts share, behind disguises, those of rare words first."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from model_export.contract.folding import fold, quote
from model_export.contract.text import label_token, text_tokens
from model_export.contract.vocabulary import Vocabulary
from service.engine.evidence.waterfall import QUOTE_CHARS, Quote, spelt_otherwise, undone_in

_UNIT = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]"
    r"|[^\W_\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
    r"\U00020000-\U0003ffff]+"
)
"""A word, or a character of a script without blanks."""
_MOST_UNITS = 4000
"""Of each side; later ones are not looked at."""
_MOST_PLACES = 16
"""Of one word in a side that are tried, so that a text of one word takes no longer."""
_FEWEST_LETTERS, _FEWEST_CHARACTERS = 4, 3
_RARE_BITS = 5.0
"""A word that one of 32 streamers uses, or fewer; only such words make a phrase tell something."""
_MOST_KEPT, _KEPT_CHARS = 50_000, 24
"""Phrases whose bits are kept, and how long they may be."""
_COMMON_SHARE = 0.2
"""A label that more streamers show tells nothing."""
_ASKING = """
    关注 求关注 关注我 热门 上热门 推荐 首页 上首页 涨粉 爆款 直播 主播 新人 新主播 好看 点赞 抖一抖
    粉丝 互粉 欢迎 欢迎关注 主页 置顶 foryou foryoupage fyp follow followme followback
    followforfollow f4f like likes likeforlike l4l new popular trending trend viral explore
    explorepage subscribe live livestream streamer welcome hot recommend recommended suggested
"""
STOCK = frozenset(_ASKING.split())
"""Words that ask for an audience and say nothing of what is shown."""


_STOCK_CHARACTERS = re.compile(
    "|".join(sorted((word for word in STOCK if not word.isascii()), key=len, reverse=True))
)


class Rarity:
    """How much words and labels tell, in bits, by the document frequencies of a vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        """A token that no streamer shows is worth most."""
        self._vocabulary = vocabulary
        df = np.zeros(vocabulary.size)
        df[1 : 1 + len(vocabulary.tokens)] = vocabulary.document_frequency
        documents = max(vocabulary.documents, 1)
        self._bits = np.log2((documents + 1) / (df + 0.5))
        self._least = -np.log2(_COMMON_SHARE)
        self._known: dict[str, float] = {}

    def _of(self, token: str) -> float:
        return float(self._bits[self._vocabulary.token_id(token)])

    def of_tag(self, label: str) -> float:
        """Bits of a tag; 0 for boilerplate and for what very many show."""
        tokens = label_token("t", label)
        if not tokens or tokens[0][2:].strip("#") in STOCK:
            return 0.0
        bits = self._of(tokens[0])
        return bits if bits >= self._least else 0.0

    def of_phrase(self, text: str) -> float:
        """Bits of a phrase; 0 where all of its words are common, or boilerplate.

        Those of single words are kept: a few of them are what most pairs have in common.
        """
        known = self._known.get(text)
        if known is None:
            known = self._bits_of(text)
            if len(text) <= _KEPT_CHARS and len(self._known) < _MOST_KEPT:
                self._known[text] = known
        return known

    def _bits_of(self, text: str) -> float:
        words, grams = list[float](), list[float]()
        for token in text_tokens(_STOCK_CHARACTERS.sub(" ", text)):
            if token[2:] in STOCK or token[2:].isdigit():
                continue
            if token[2:].isascii():
                if len(token) - 2 >= _FEWEST_LETTERS:
                    words.append(self._of(token))
            elif token.startswith("g=") and len(token) == len("g=") + 2:
                grams.append(self._of(token))
        best = max(words, default=0.0)
        # Two neighbours that nobody else has together may be chance, so their mean counts.
        usual = sum(grams) / len(grams) if grams else 0.0
        if max(best, usual) < _RARE_BITS:
            return 0.0
        return sum(bits for bits in words if bits >= _RARE_BITS) + sum(grams)


class _Unit(NamedTuple):
    text: int
    place: int


class _Run(NamedTuple):
    """Units that agree from two places on."""

    bits: float
    ours: _Unit
    theirs: _Unit
    length: int


@dataclass(frozen=True, eq=False)
class Texts:
    """Texts of a profile, ready to be compared.

    Attributes:
        places: where each stands, as `bio`.
        texts: as written, line breaks as blanks.
        spelt: each without disguises, see `evidence.all_sound_like`.
    """

    places: Sequence[str]
    texts: Sequence[str]
    spelt: Sequence[str]

    @cached_property
    def units(self) -> list[list[tuple[str, int, int]]]:
        """Words and characters of each text: spelling, first place, place after the last."""
        left = _MOST_UNITS
        found: list[list[tuple[str, int, int]]] = []
        for text in self.spelt:
            spans = [(m.group(), m.start(), m.end()) for m in _UNIT.finditer(text)][:left]
            left -= len(spans)
            found.append(spans)
        return found

    @cached_property
    def is_ascii(self) -> Sequence[bool]:
        """Of each text, whether it has no disguise, and nothing that only sounds alike."""
        return [
            text.isascii() and spelt.isascii()
            for text, spelt in zip(self.texts, self.spelt, strict=True)
        ]

    def folded(self, place: int) -> str:
        """A text as folded, as long as it is spelt."""
        return self._folded[place]

    @cached_property
    def _folded(self) -> Sequence[str]:
        return [self._fold(text, spelt) for text, spelt in zip(self.texts, self.spelt, strict=True)]

    def _fold(self, text: str, spelt: str) -> str:
        folded = text.lower() if text.isascii() else fold(text).text
        return folded if len(folded) == len(spelt) else spelt

    @cached_property
    def index(self) -> Mapping[str, Sequence[_Unit]]:
        """Where each unit stands."""
        known: dict[str, list[_Unit]] = {}
        for i, units in enumerate(self.units):
            for at, (unit, _, _) in enumerate(units):
                places = known.setdefault(unit, [])
                if len(places) < _MOST_PLACES:
                    places.append(_Unit(i, at))
        return known


class SharedPhrase(NamedTuple):
    """A phrase of both sides, `a` of the first."""

    quote: Quote
    disguises: tuple[str, ...]


def shared_phrases(
    ours: Texts, theirs: Texts, rarity: Rarity, most: int, without: frozenset[str] = frozenset()
) -> list[SharedPhrase]:
    """At most so many phrases of both, those that tell most first.

    The longest runs of words, or of characters in scripts without blanks, in a greedy walk that is
    linear in the length of `theirs`.

    Args:
        ours: texts of one side; of many pairs with one side, that side.
        theirs: texts of the other.
        rarity: what tells something.
        most: phrases.
        without: places of `ours` that are left out.
    """
    runs = sorted(_runs(ours, theirs, rarity, without), key=lambda run: -run.bits)
    found: dict[str, SharedPhrase] = {}
    for run in runs:
        if len(found) == most:
            break
        phrase = _quoted(run, ours, theirs)
        said = phrase.quote.a.casefold()
        if said and not any(said in other or other in said for other in found):
            found[said] = phrase
    return list(found.values())


def _runs(ours: Texts, theirs: Texts, rarity: Rarity, without: frozenset[str]) -> list[_Run]:
    index = ours.index
    found: list[_Run] = []
    for j, units in enumerate(theirs.units):
        at = 0
        while at < len(units):
            places = index.get(units[at][0])
            if places is None:
                at += 1
                continue
            begins = [
                (_length(ours.units[begin.text], begin.place, units, at), begin)
                for begin in places
                if ours.places[begin.text] not in without
            ]
            length, begin = max(begins, key=lambda one: one[0], default=(0, None))
            if begin is not None and _is_long_enough(units[at : at + length]):
                found += _told(_Run(0.0, begin, _Unit(j, at), length), ours, theirs, rarity)
            at += max(length, 1)
    return found


def _told(run: _Run, ours: Texts, theirs: Texts, rarity: Rarity) -> list[_Run]:
    """A run that tells something, without syllables at its ends that only sound alike."""
    first, last = 0, run.length
    if not (ours.is_ascii[run.ours.text] and theirs.is_ascii[run.theirs.text]):
        words = _words(ours, run.ours, run.length), _words(theirs, run.theirs, run.length)
        same = [one == other or one.isascii() for one, other in zip(*words, strict=True)]
        if True not in same:
            return []
        first, last = same.index(True), len(same) - same[::-1].index(True)
    units = theirs.units[run.theirs.text][run.theirs.place + first : run.theirs.place + last]
    if not _is_long_enough(units):
        return []
    start, end = units[0][1], units[-1][2]
    bits = rarity.of_phrase(theirs.folded(run.theirs.text)[start:end])
    if not bits:
        return []
    ours_at, theirs_at = (_Unit(u.text, u.place + first) for u in (run.ours, run.theirs))
    return [_Run(bits, ours_at, theirs_at, last - first)]


def _words(texts: Texts, begin: _Unit, length: int) -> list[str]:
    folded = texts.folded(begin.text)
    units = texts.units[begin.text][begin.place : begin.place + length]
    return [folded[start:end] for _, start, end in units]


def _is_long_enough(units: Sequence[tuple[str, int, int]]) -> bool:
    letters = sum(len(unit) for unit, _, _ in units)
    if all(unit.isascii() for unit, _, _ in units):
        return letters >= _FEWEST_LETTERS
    return letters >= _FEWEST_CHARACTERS


def _length(
    ours: Sequence[tuple[str, int, int]],
    begin: int,
    theirs: Sequence[tuple[str, int, int]],
    at: int,
) -> int:
    most = min(len(ours) - begin, len(theirs) - at)
    for step in range(most):
        if ours[begin + step][0] != theirs[at + step][0]:
            return step
    return most


def _quoted(run: _Run, ours: Texts, theirs: Texts) -> SharedPhrase:
    sides: list[tuple[str, str, str, list[str]]] = []
    for texts, unit in ((ours, run.ours), (theirs, run.theirs)):
        text, units = texts.texts[unit.text], texts.units[unit.text]
        start, end = units[unit.place][1], units[unit.place + run.length - 1][2]
        folded = fold(text)
        if len(folded.text) != len(texts.spelt[unit.text]):  # folded otherwise among other texts
            start = end = 0
        said = quote(text, folded, start, end, QUOTE_CHARS)
        undone = list(undone_in(folded, start, end))
        sides.append((texts.places[unit.text], said, folded.text[start:end], undone))
    (place, said, plain, undone), (other_place, other_said, other_plain, other_undone) = sides
    disguises = dict.fromkeys([*undone, *other_undone, *spelt_otherwise(plain, other_plain)])
    return SharedPhrase(Quote(said, other_said, place, other_place), tuple(disguises))
