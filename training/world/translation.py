"""Translation of the world's own sentences, whose templates exist in two languages."""

import re
from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Any

from training.disguises.chinese import latin_name
from training.disguises.wording import Phrasebook, general_phrasebook
from training.world.topics import LANGUAGES, Interest

_SENTENCES = ("bio_start", "bio_middle", "bio_end", "titles", "lives", "boilerplate_bios")
_ALIGNED = ("series", "adj", "place", "time", "form", "feel", "thing")
"""Kinds of phrases whose entries stand for each other, line by line."""
_SLOTS = re.compile(r"\{\w+\}")
_SLOT = re.compile(r"\\{(\w+)\\}")  # in an escaped template

_Phrases = dict[str, dict[str, list[Any]]]
_Template = tuple[re.Pattern[str], list[str], str]


def phrasebook(interests: list[Interest], phrases: _Phrases) -> Phrasebook:
    """General phrasebook with the words of the interests and the sentences of the world."""
    words = {w: None for i in interests for w in zip(*i.words, strict=True)}
    words |= {w: None for i in interests for w in zip(*i.topic_words, strict=True)}
    for kind in _ALIGNED[1:]:
        words |= dict.fromkeys(zip(*(phrases[name][kind] for name in LANGUAGES), strict=True))
    meanings = [{name: (w,) for name, w in zip(LANGUAGES, pair, strict=True)} for pair in words]
    known = general_phrasebook().extended(meanings)
    templates = {
        (source, to): _templates(phrases[source], phrases[to])
        for source, to in (LANGUAGES, LANGUAGES[::-1])
    }
    return known.extended((), partial(_sentence, templates, _dictionary(words)))


def _dictionary(pairs: dict[tuple[str, ...], None]) -> dict[str, dict[str, str]]:
    """Target language -> word in lower case -> its translation."""
    return {
        to: {pair[1 - at].lower(): pair[at] for pair in pairs} for at, to in enumerate(LANGUAGES)
    }


def _templates(source: dict[str, list[Any]], to: dict[str, list[Any]]) -> list[_Template]:
    kinds = chain.from_iterable(
        zip(source[kind], to[kind], strict=True) for kind in (*_SENTENCES, *_ALIGNED)
    )
    return [_template(one, other) for one, other in kinds if _SLOTS.sub("", one).strip()]


def _template(one: str, other: str) -> _Template:
    """Pattern of a template, the slots in order, and its counterpart."""
    escaped = re.escape(one)
    slots = _SLOT.findall(escaped)
    pattern = _SLOT.sub("(.+?)", escaped)
    return re.compile(pattern, re.IGNORECASE), slots, other


def _sentence(
    templates: dict[tuple[str, str], list[_Template]],
    words: dict[str, dict[str, str]],
    sentence: str,
    to: str,
) -> str | None:
    """Translation of a sentence that a template made; None if none did."""
    if to not in words or not sentence:
        return None
    source = LANGUAGES[1 - LANGUAGES.index(to)]

    def word(text: str) -> str:
        known = words[to].get(text.lower())
        if known is not None:
            return known
        made = _filled(templates[source, to], text, word)
        return made or (latin_name(text) if to == "en" else text)

    return _filled(templates[source, to], sentence, word)


def _filled(templates: list[_Template], text: str, word: Callable[[str], str]) -> str | None:
    for pattern, slots, other in templates:
        match = pattern.fullmatch(text)
        if match is None or not slots:
            if match is not None:
                return other
            continue
        values: dict[str, list[str]] = {}
        for slot, value in zip(slots, match.groups(), strict=True):
            values.setdefault(slot, []).append(word(value))

        def value_of(found: re.Match[str], values: dict[str, list[str]] = values) -> str:
            left = values.get(found[1], [])
            return left.pop(0) if len(left) > 1 else left[0] if left else ""

        return re.sub(r"\{(\w+)\}", value_of, other)
    return None
