"""Words of every script, and letters that look alike or can't be seen."""

import sys

import pytest
from hypothesis import example, given, settings

from model_export.contract.text import (
    canonical,
    is_empty_talk,
    label_token,
    normalise,
    template,
    text_tokens,
    words,
)
from tests.unit.contract.profiles import any_text, text


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("", ""),
        ("  Two\t Words\r\n", "two words"),
        ("ＦＵＬＬ－ｗｉｄｔｈ　ﾊﾝｶｸ", "full-width ハンカク"),
        ("ﬁne ｶﾞｲﾄﾞ ① ㎏ Ǆ", "fine ガイド 1 kg dž"),
        ("𝓕𝓪𝓷𝓬𝔂 𝕋𝕖𝕩𝕥 Ⓣⓐⓖ", "fancy text tag"),
        ("cafe\u0301", "caf\u00e9"),
        ("ẛ̣", "ṩ"),
        ("STRASSE straße", "strasse strasse"),
        ("ΟΔΟΣ οδός", "οδοσ οδόσ"),  # the final sigma is a sigma
        ("한글 \u1112\u1161\u11ab", "한글 한"),  # letters that make a syllable
        ("क़", "क\u093c"),  # a nukta stays apart: NFC excludes it from composition
        ("ทำ", "ท\u0e4d\u0e32"),  # NFKC takes Thai sara am apart, however it is typed
        ("ท\u0e4d\u0e32", "ท\u0e4d\u0e32"),
    ],
)
def test_normalise(written: str, normal: str) -> None:
    assert normalise(written) == normal


def test_turkish_folds_by_the_default_rules() -> None:
    """Dotless ı is not i, and İ keeps its dot: no language's own rules are applied."""
    assert normalise("I i") == "i i"
    assert normalise("ı") == "ı"
    assert normalise("İ") == normalise("i\u0307") == "i\u0307"


INVISIBLE = {
    "zero-width space": "\u200b",
    "zero-width joiner": "\u200d",
    "zero-width non-joiner": "\u200c",
    "word joiner": "\u2060",
    "byte order mark": "\ufeff",
    "soft hyphen": "\u00ad",
    "grapheme joiner": "\u034f",
    "right-to-left override": "\u202e",
    "right-to-left isolate": "\u2067",
    "Arabic letter mark": "\u061c",
    "variation selector": "\ufe0f",
    "ideographic variation selector": "\U000e0100",
    "tag letter": "\U000e0041",
    "Hangul filler": "\u3164",
    "half-width Hangul filler": "\uffa0",
    "Mongolian vowel separator": "\u180e",
    "NUL": "\x00",
    "escape": "\x1b",
    "C1 control": "\x9f",
}


@pytest.mark.parametrize("hidden", INVISIBLE.values(), ids=INVISIBLE.keys())
@pytest.mark.parametrize("plain", ["wechat", "加微信", "قناة", "cafe\u0301"])
def test_invisible_characters_do_not_hide_a_word(plain: str, hidden: str) -> None:
    pulled_apart = hidden + hidden.join(plain) + hidden
    assert text_tokens(pulled_apart) == text_tokens(plain)
    assert normalise(hidden) == ""
    assert canonical(hidden) == ""


@given(text)
@example("e\u200b\u0301")  # an invisible character between a letter and its mark
@example("\u1100\u3164\u1161")  # a filler between two letters of a syllable
@example("α\u0345\u0300")  # an iota subscript before an accent
@example("\u00a8\u0345")
@settings(max_examples=400)
def test_normalising_twice_changes_nothing(written: str) -> None:
    once = normalise(written)
    assert normalise(once) == once
    assert canonical(canonical(written)) == canonical(written)
    assert text_tokens(once) == text_tokens(written)
    assert label_token("t", once) == label_token("t", written)


def test_normalising_any_single_character_twice_changes_nothing() -> None:
    changed = [
        f"U+{code:04X}"
        for code in range(sys.maxunicode + 1)
        if normalise(once := normalise(chr(code))) != once
    ]
    assert changed == []


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("", []),
        ("!?。，～ …", []),
        ("Don't stop: lo-fi @night_owl #1!", ["don", "t", "stop", "lo", "fi", "night_owl", "1"]),
        ("每天8点直播,聊电影和音乐~", ["每天8点直播", "聊电影和音乐"]),
        ("「日本語」・ガイド（々〆〇）", ["日本語", "ガイド", "々〆〇"]),
        ("مرحبا، كيف حالك؟", ["مرحبا", "كيف", "حالك"]),
        ("\u202bألعاب\u202c", ["ألعاب"]),
        ("שידור חי: צה״ל", ["שידור", "חי", "צה", "ל"]),
        ("हिन्दी में। फिर", ["हिन्दी", "में", "फिर"]),
        ("สตรีมเมอร์ เล่นเกม", ["สตรีมเมอร์", "เล่นเกม"]),
        ("Ելք։ Մուտք՞", ["ելք", "մուտք"]),
        ("3×4÷2=6€", ["3", "4", "2", "6"]),
        ("C++ c#", ["c", "c"]),
        ("10.5kg ½", ["10", "5kg", "1", "2"]),
    ],
)
def test_words(written: str, found: list[str]) -> None:
    assert words(normalise(written)) == found


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("🎮🎮", ["🎮", "🎮"]),
        ("game🎮on", ["game", "🎮", "on"]),
        ("❤️ ❤", ["❤", "❤"]),  # with and without the selector of its colour
        ("👩‍👩‍👧", ["👩", "👩", "👧"]),
        ("👍🏽", ["👍", "🏽"]),
        ("🇨🇳", ["🇨", "🇳"]),
        ("☕→✨", ["☕", "→", "✨"]),
    ],
)
def test_each_emoji_is_a_word(written: str, found: list[str]) -> None:
    assert words(normalise(written)) == found


def test_tokens_by_hand() -> None:
    assert text_tokens("Lo-fi 电影院") == [
        "w=lo",
        "w=fi",
        "w=电影院",
        "g=电影",
        "g=影院",
        "g=电影院",
    ]
    assert text_tokens("é") == ["w=é"]
    assert text_tokens("née") == ["w=née", "g=né", "g=ée", "g=née"]


@given(text)
def test_n_grams_never_cross_a_word(written: str) -> None:
    found = words(normalise(written))
    expected = [
        word[start:end]
        for word in found
        if not word.isascii()
        for start in range(len(word))
        for end in (start + 2, start + 3)
        if end <= len(word)
    ]
    tokens = text_tokens(written)
    assert sorted(t[2:] for t in tokens if t.startswith("g=")) == sorted(expected)
    assert [t[2:] for t in tokens if t.startswith("w=")] == found
    assert not any(c.isspace() for t in tokens for c in t)


@given(text, text)
def test_texts_side_by_side_share_no_n_gram(left: str, right: str) -> None:
    assert text_tokens(f"{left}\n{right}") == text_tokens(left) + text_tokens(right)


@pytest.mark.parametrize(
    "same", [("欢迎关注!!!", "欢迎关注~"), ("Hi, there", "hi there…"), ("「A」B", "a b"), ("?", "")]
)
def test_canonical_keeps_the_words_alone(same: tuple[str, str]) -> None:
    assert canonical(same[0]) == canonical(same[1])


def test_a_label_is_one_token_whatever_it_is_made_of() -> None:
    assert label_token("t", " C＋＋ ") == ["t=c++"]
    assert label_token("t", "Role Playing") == ["t=role playing"]
    assert label_token("c", "#") == ["c=#"]
    assert label_token("t", " \u3000") == label_token("t", "\u200b") == []
    assert label_token("l", "zh-Hans") == ["l=zh-hans"]


@pytest.mark.parametrize(
    ("texts", "left"),
    [
        (["video 12", "Video #7!", "ｖｉｄｅｏ ①", "VIDEO 9 🎮"], "video0"),
        (["第12期 直播", "第 3 期直播～"], "第0期直播"),
        (["مقطع ٣", "مقطع 12"], "مقطع0"),  # digits of other scripts
        (["boss fight", "Boss-Fight?!"], "bossfight"),
        (["day 3, part 4", "Day 12 Part 1"], "day0part0"),
        (["w12 w7 w4512"], "w12 w7 w4512"),  # words by their numbers
        (["🎮🎮", "🎮 🎮!"], "🎮 🎮"),  # emoji alone may be what it says
        (["", "!!!", "\u3164"], ""),
    ],
)
def test_a_template_is_what_is_left_without_numbers_and_signs(texts: list[str], left: str) -> None:
    assert {template(text) for text in texts} == {left}


@given(any_text)
def test_texts_of_the_same_words_have_the_same_template(text: str) -> None:
    assert template(text) == template(canonical(text))
    assert template(f"{text} !?") == template(text)


@pytest.mark.parametrize("text", ["hahaha", "哈哈哈", "no no no!", "666", "…", "lololol"])
def test_repetition_is_empty_talk(text: str) -> None:
    assert is_empty_talk(text)


@pytest.mark.parametrize(
    "text", ["haha", "🎮🎮🎮", "mama", "cs 1.6", "第3期", "banana", "4512 231 88", "hahaha boss"]
)
def test_words_are_no_empty_talk(text: str) -> None:
    assert not is_empty_talk(text)
