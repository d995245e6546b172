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
_SLOTS = re.compile(r"\{(\w+)\}")
_SLOT = re.compile(r"\\{(\w+)\\}")  # in an escaped template

_NUMBERS = ("n", "ep", "year")
_COINED = {"en": "[a-z]{3,16}", "zh": "[\u4e00-\u9fff]{3}"}
"""Patterns of names that a person coined."""
_VALUE = "[^，。：！？]{1,40}?"

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
        (source, to): _templates(source, phrases[source], phrases[to])
        for source, to in (LANGUAGES, LANGUAGES[::-1])
    }
    return known.extended((), partial(_sentence, templates, _dictionary(words)))


def _dictionary(pairs: dict[tuple[str, ...], None]) -> dict[str, dict[str, str]]:
    """Target language -> word in lower case -> its translation."""
    return {
        to: {pair[1 - at].lower(): pair[at] for pair in pairs} for at, to in enumerate(LANGUAGES)
    }


def _templates(
    language: str, source: dict[str, list[Any]], to: dict[str, list[Any]]
) -> list[_Template]:
    kinds = chain.from_iterable(
        zip(source[kind], to[kind], strict=True) for kind in (*_SENTENCES, *_ALIGNED)
    )
    return [_template(one, other, language) for one, other in kinds]


def _template(one: str, other: str, language: str) -> _Template:
    """Pattern of a template, the slots in order, and its counterpart."""
    escaped = re.escape(one)
    slots = _SLOT.findall(escaped)

    def value(slot: re.Match[str]) -> str:
        if slot[1] in _NUMBERS:
            return r"(\d+)"
        return f"({_COINED[language]})" if slot[1] == "own" else f"({_VALUE})"

    return re.compile(_SLOT.sub(value, escaped), re.IGNORECASE), slots, other


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

    def value(slot: str, text: str) -> str | None:
        if slot in _NUMBERS:
            return text
        if slot in ("own", "nick"):
            return latin_name(text) if to == "en" else text
        if slot == "series":
            return _filled(templates[source, to], text, value)
        return words[to].get(text.lower())

    return _filled(templates[source, to], sentence, value)


def _filled(
    templates: list[_Template], text: str, value: Callable[[str, str], str | None]
) -> str | None:
    """Counterpart of the first template that fits, with the values of its slots."""
    for pattern, slots, other in templates:
        if match := pattern.fullmatch(text):
            found = [value(*pair) for pair in zip(slots, match.groups(), strict=True)]
            if None not in found:
                return _fill(other, slots, found)
    return None


def _fill(template: str, slots: list[str], values: list[str | None]) -> str:
    left: dict[str, list[str]] = {}
    for slot, value in zip(slots, values, strict=True):
        left.setdefault(slot, []).append(value or "")

    def next_of(slot: re.Match[str]) -> str:
        known = left.get(slot[1], [""])
        return known.pop(0) if len(known) > 1 else known[0]

    return _SLOTS.sub(next_of, template)
