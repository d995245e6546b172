"""Folding takes time in proportion to the text, whatever is in it."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from model_export.contract.folding import find_contacts, fold

HOSTILE = {
    "spaced": "h e l l o   ",
    "confusables": "wеlсоmе ",
    "zalgo": "h\u0301\u0336\u0324e\u0336",
    "emoji": "你😀好😀",
    "leet": "str34m3r ",
    "digits": "1 3 8 0 0 ",
    "marks": "\u0301",
    "zero width": "a\u200b",
    "overrides": "\u202eab",
    "ligatures": "ﷺﬃ",
    "keywords": "微信",
    "at": "a@",
    "dots": "a.",
    "v": "vx:",
    "plus": "+1",
    "letters": "a",
    "fill": "微信号号号号号号号号",
    "numerals": "一二三",
    "turned": "ɐʇɯ ",
    "turned lines": "ɐʇɯ\n",
    "flags": "🇦 🇧 ",
    "private": "你\ue001",
    "alien": "你ᐧ",
    "spoken": "yi er san si ",
    "at words": "a at b dot ",
    "groups": "群号1群",
    "behind": "abc8866(qq)",
    "series": "10/11/12/",
    "hearts": "❤v",
}


def steps(call: Callable[[str], object], text: str) -> int:
    """Python function calls and lines of the package: what no vector operation does."""
    count = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    sys.settrace(trace)
    try:
        call(text)
    finally:
        sys.settrace(None)
    return count


@pytest.mark.parametrize("name", HOSTILE)
def test_steps_of_folding_do_not_grow_with_the_text(name: str) -> None:
    unit = HOSTILE[name]
    call: Callable[[str], object] = fold
    call(unit * 20)  # the tables are read
    short, long = (steps(call, (unit * size)[: size * 10]) for size in (2_000, 16_000))
    # Spans, overrides and clusters are bounded one by one; all else is arrays.
    assert long <= short * 8 + 1_000


@pytest.mark.parametrize(("unit", "most"), [("vx:", 60), ("vx:1", 220), ("wx:捌", 200)])
def test_a_word_that_announces_no_handle_over_and_over_costs_little(unit: str, most: int) -> None:
    text = unit * 500
    find_contacts(text)  # the tables are read
    assert steps(find_contacts, text) <= most * len(text)


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_contacts_are_bounded(name: str) -> None:
    assert len(find_contacts(HOSTILE[name] * 5_000)) <= 50


def test_a_bio_of_confusables() -> None:
    found = fold("hеllо" * 1_000)
    assert found.text == "hello" * 1_000
    assert 0 < len(found.undone) <= 800


def test_two_hundred_handles() -> None:
    text = " ".join(f"微信:abc{i:04d}" for i in range(200))
    found = find_contacts(text)
    assert [each.value for each in found] == [f"abc{i:04d}" for i in range(50)]
    assert len(find_contacts(text, most=200)) == 200
