"""Disguises of texts and pictures, and copies of accounts."""

import random
import unicodedata
from typing import Any

import pytest

from model_export.contract.streamer import StreamerProfile
from training.disguises import KINDS, TEXT_KINDS, copy_of, disguise, fits, with_handle
from training.disguises.chinese import is_chinese
from training.disguises.contacts import handle, hide
from training.disguises.wording import general_phrasebook, language_of

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


WORDS = {
    "bio": "每天直播做饭和旅行，喜欢请点个关注！一起学习新的料理，感谢大家支持。",
    "tags": ["做饭", "旅行", "料理", "直播", "新手"],
    "category": "美食",
    "language": "zh",
}
COVERS = [{"vector": [float(i + j) for j in range(8)], "space": "covers"} for i in range(4)]


def profile() -> dict[str, Any]:
    videos = [
        {"video_id": f"v{i}", "title": f"今天做饭第{i}集：家里的小锅", "cover": cover}
        for i, cover in enumerate(COVERS)
    ]
    return {"streamer_id": "original", "name": "小厨", **WORDS, "videos": videos}


def stranger() -> dict[str, Any]:
    videos = [{"video_id": "x1", "title": "goal of the week"}]
    return {"streamer_id": "stranger", "name": "Kim", "bio": "football and chess", "videos": videos}


@pytest.mark.parametrize(
    "kind", [k for k in KINDS if k not in ("leetspeak", "mathematical", "full_width")]
)
def test_copies_are_valid_profiles_of_another_account(kind: Any) -> None:
    original = with_handle(profile(), random.Random(0)) if kind == "shared_handle" else profile()
    assert fits(original, kind)
    for seed in range(20):
        made = copy_of(original, [kind], random.Random(seed), stranger())
        assert made == copy_of(original, [kind], random.Random(seed), stranger())
        StreamerProfile.model_validate(made)
        assert made["streamer_id"] != "original"
        assert made["name"] == "Kim"
        ids = {v["video_id"] for v in made.get("videos", [])}
        assert ids.isdisjoint({"v0", "v1", "v2", "v3", "x1"})


@pytest.mark.parametrize("kinds", [[], ["wig"], ["bidi", "wig"]])
def test_unknown_kinds_are_refused(kinds: Any) -> None:
    with pytest.raises(ValueError, match="kinds: needs one or more of translated"):
        copy_of(profile(), kinds, random.Random(0))
