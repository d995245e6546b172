"""Texts in each disguise: changed, by nothing but the seed, and readable when it is undone."""

import random
import unicodedata

import pytest

from training.disguises import KINDS, MEDIA_KINDS, TEXT_KINDS, disguise
from training.disguises.chinese import is_chinese
from training.disguises.contacts import handle, hide
from training.disguises.wording import general_phrasebook, language_of, script_of, sentences_of

ENGLISH = (
    "Welcome to my channel. I share cooking and travel every night, follow me! wechat lena2048"
)
CHINESE = "欢迎来到我的频道。每天直播做饭和旅行，喜欢请点个关注！商务合作微信：lena2048"
JAPANESE = "私のチャンネルへようこそ。毎日ゲームの生配信をしています。よろしくお願いします。"
KOREAN = "제 채널에 오신 걸 환영해요. 매일 게임 생방송을 합니다. 늘 감사합니다."
TEXTS = {"en": ENGLISH, "zh": CHINESE, "ja": JAPANESE, "ko": KOREAN}
UNCHANGED = {
    "en": {"traditional", "homophones"},
    "zh": set(),
    "ja": {"leetspeak", "traditional", "homophones", "homoglyphs", "one_homoglyph_a_word",
           "shared_handle"},
    "ko": {"leetspeak", "traditional", "homophones", "mathematical", "shared_handle", "homoglyphs",
           "one_homoglyph_a_word"},
}  # fmt: skip
FEW_FORMS = ("traditional", "full_width")
ONLY_LETTERS = {"full_width", "mathematical"}


@pytest.mark.parametrize("kind", TEXT_KINDS)
@pytest.mark.parametrize("language", TEXTS)
def test_every_text_that_a_disguise_is_for_is_changed(kind: str, language: str) -> None:
    if kind in UNCHANGED[language] or (kind in ONLY_LETTERS and language in ("ja", "ko")):
        return
    for seed in range(20):
        made = disguise(TEXTS[language], kind, random.Random(seed))
        assert made != TEXTS[language]
        assert made == disguise(TEXTS[language], kind, random.Random(seed))
    made_of_seeds = {disguise(TEXTS[language], kind, random.Random(seed)) for seed in range(20)}
    assert len(made_of_seeds) > 1 or kind in FEW_FORMS


@pytest.mark.parametrize("kind", MEDIA_KINDS)
def test_disguises_of_media_leave_texts(kind: str) -> None:
    assert disguise(ENGLISH, kind, random.Random(0)) == ENGLISH


def test_an_unknown_kind_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no disguise 'wig'; take one of translated, "):
        disguise(ENGLISH, "wig", random.Random(0))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["", " ", "🔥", "\n\n", "a", "中", "。。。", "1", "."])
def test_texts_with_nothing_to_disguise_do_no_harm(kind: str, text: str) -> None:
    for seed in range(10):
        assert isinstance(disguise(text, kind, random.Random(seed)), str)


@pytest.mark.parametrize("kind", ["full_width", "mathematical"])
def test_other_alphabets_are_the_same_letters_to_unicode(kind: str) -> None:
    decomposed = 0
    for seed in range(40):
        made = unicodedata.normalize("NFKC", disguise("Lena cooks 2048", kind, random.Random(seed)))
        decomposed += made.lower().replace("(", "").replace(")", "") == "lena cooks 2048"
    assert decomposed >= 15  # negative squares have no decomposition


@pytest.mark.parametrize("text", [ENGLISH, CHINESE, JAPANESE])
@pytest.mark.parametrize(
    "kind", ["combining", "zero_width", "emoji_between", "punctuation_between", "spaced"]
)
def test_what_is_put_between_leaves_the_characters_in_order(kind: str, text: str) -> None:
    for seed in range(20):
        rest = iter(disguise(text, kind, random.Random(seed)))
        assert all(c in rest for c in text if c.isalnum())


@pytest.mark.parametrize("text", [ENGLISH, CHINESE])
def test_text_written_backwards_is_shown_forwards(text: str) -> None:
    seen = set()
    for seed in range(40):
        made = disguise(text, "bidi", random.Random(seed))
        shown = _as_shown(made)
        assert shown == text
        seen.add(made.replace("\u202e", "") == made)
    assert seen == {True, False}  # with and without what is written backwards


def _as_shown(text: str) -> str:
    """The text as a bidirectional display shows it, for flat runs of one override."""
    shown, run, backwards = [], [], False
    for c in text:
        if c == "\u202e":
            backwards = True
        elif c == "\u202c" and backwards:
            shown += reversed(run)
            run, backwards = [], False
        elif unicodedata.category(c) != "Cf":
            (run if backwards else shown).append(c)
    return "".join(shown)


def test_homophones_sound_alike_and_keep_everything_else() -> None:
    from pypinyin import lazy_pinyin

    for seed in range(20):
        made = disguise(CHINESE, "homophones", random.Random(seed))
        if len(made) != len(CHINESE):  # some pinyin among the characters
            continue
        pairs = [(a, b) for a, b in zip(CHINESE, made, strict=True) if a != b]
        assert len(pairs) > 5
        assert all(is_chinese(a) and is_chinese(b) for a, b in pairs)
        same = sum(lazy_pinyin(a) == lazy_pinyin(b) for a, b in pairs)
        assert same >= 0.9 * len(pairs)


def test_one_homoglyph_a_word_changes_one_letter_of_each() -> None:
    made = disguise("cooking travel nights", "one_homoglyph_a_word", random.Random(1))
    for old, new in zip(["cooking", "travel", "nights"], made.split(), strict=True):
        assert sum(a != b for a, b in zip(old, new, strict=True)) == 1


def test_a_part_is_more_than_half_and_contiguous() -> None:
    text = "One tall tree. Two red boats. Three old songs. Four blue hats. Five warm days."
    for seed in range(20):
        made = disguise(text, "partial_paste", random.Random(seed))
        kept = [s for s in sentences_of(text) if s.strip() in made]
        assert len(kept) == 3
        assert "".join(kept).strip() in made
        assert made not in text


def test_shuffled_sentences_are_the_same_sentences() -> None:
    made = disguise(CHINESE, "shuffled_sentences", random.Random(2))
    assert sorted(s.strip() for s in sentences_of(made)) != sentences_of(CHINESE)
    assert sorted(made) == sorted(CHINESE)


@pytest.mark.parametrize("language", TEXTS)
def test_translations_are_in_another_language(language: str) -> None:
    assert language_of(TEXTS[language]) == language
    book = general_phrasebook()
    assert "welcome to my channel" in book.translated(CHINESE, "en", random.Random(3)).lower()
    for to in TEXTS.keys() - {language}:
        assert book.translated(TEXTS[language], to, random.Random(0)) != TEXTS[language]


def test_hidden_handles_are_another_writing_of_the_same() -> None:
    rng = random.Random(4)
    for _ in range(200):
        name = handle(rng)
        hidden = hide(name, rng)
        assert hidden != name
        letters = [c for c in unicodedata.normalize("NFKC", hidden) if c.isascii() and c.isalpha()]
        assert "".join(letters) == "".join(c for c in name if c.isalpha())
    made = disguise("合作加V lena2048 谢谢", "shared_handle", random.Random(0))
    assert made.startswith("合作加V ")
    assert made.endswith(" 谢谢")
    assert "lena2048" not in made


def test_texts_of_other_scripts_are_not_among_english_ones() -> None:
    texts = ["готовлю лапшу", "أطبخ كل يوم", "ทำอาหารทุกวัน", "noodles", "面条 vlog", "", "🔥"]
    found = [script_of(text) for text in texts]
    assert found == ["cyrillic", "arabic", "thai", "en", "zh", "en", "en"]
