"""Reasons in words: what was found, in either language, and nothing else."""

import re
from typing import get_args

import pytest

from service.engine.evidence.shared_content import SameContent
from service.features.lists.schemas import Language
from service.features.lists.wording import SENTENCES, changed, in_words
from tests.service.engine.evidence.test_audience import known, linked

SAME = SameContent("bio", "videos[0].title", "cat tree", "Cat-tree!")
SHARED = {
    "language": ["en"],
    "tags": ["guitar", "folk", "live", "more"],
    "phrases": [SAME],
    "category": ["music"],
    "audience": ["viewers in common"],
}


def test_the_most_telling_kinds_come_first_and_few_of_each() -> None:
    assert in_words(SHARED, 0.5, "en") == (
        'Both say "cat tree" and "Cat-tree!". Shared tags: guitar, folk, live. '
        "Similar audience: viewers in common."
    )
    assert in_words(SHARED, 0.5, "zh") == (
        "都提到“cat tree”与“Cat-tree!”。共同标签：guitar、folk、live。受众相近：viewers in common。"
    )


def test_where_nothing_telling_is_shared_it_says_so() -> None:
    assert in_words({}, 0.617, "en") == (
        "Alike as a whole (cosine 0.62); word for word they share at most what is common."
    )
    assert in_words({"language": ["zh"]}, 0.617, "zh") == (
        "语言相同：中文。整体相近（相似度 0.62），逐字相同的内容即使有也很常见。"
    )


@pytest.mark.parametrize("language", get_args(Language))
def test_every_kind_has_a_sentence_and_is_told_as_it_was_found(language: Language) -> None:
    for kind, sentence in SENTENCES[language].items():
        told = in_words({kind: [SAME] if kind != "tags" else ["x"]}, 0.5, language)
        fixed = re.escape(sentence).replace(r"\{\}", ".+")
        assert re.match(fixed, told), (kind, told)
    assert SENTENCES["en"].keys() == SENTENCES["zh"].keys()
    assert changed(language)


def test_pictures_and_sounds_are_told_without_their_places() -> None:
    place = SameContent("avatar", "videos[3].cover")
    assert in_words({"pictures": [place], "sounds": [place]}, 0.5, "en") == (
        "Same picture. Same sound."
    )


def test_an_audience_is_told_in_the_language_of_the_list() -> None:
    told = known(linked()).of("s0", "s1")
    assert told is not None
    zh = in_words({"audience": [told]}, 0.5, "zh")
    assert re.fullmatch(r"受众相近：有共同观众，比 9\d\.\d% 的成熟主播两两之间更接近。", zh), zh
    en = in_words({"audience": [told]}, 0.5, "en")
    assert en.startswith("Similar audience: viewers in common, nearer than those of 9"), en
    alone = known().of("s0", "s1")
    assert alone is not None
    assert "有共同观众" not in in_words({"audience": [alone]}, 0.5, "zh")


def test_a_phrase_that_says_no_more_than_a_shared_tag_is_not_told() -> None:
    def phrase(said: str) -> SameContent:
        return SameContent("bio", "bio", said, said)

    tags = {"tags": ["合成器", "高潮段落"]}
    repeated = [phrase("和合成器"), phrase("高潮段落"), phrase("潮段落")]
    assert in_words({**tags, "phrases": repeated}, 0.5, "zh") == "共同标签：合成器、高潮段落。"
    more = [*repeated, phrase("合成器的入门课程")]
    assert in_words({**tags, "phrases": more}, 0.5, "zh") == (
        "都提到“合成器的入门课程”。共同标签：合成器、高潮段落。"
    )
