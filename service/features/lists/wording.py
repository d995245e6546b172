"""Why a row is on a list, in words: sentences about what a seed and the row both show.

They say what an explanation found, and nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from service.engine.evidence.audience import TOLD as AUDIENCE
from service.engine.evidence.shared_content import SameContent, Shared
from service.features.lists.schemas import Language

_MOST_KINDS, _MOST_VALUES = 3, 3
_SAYS_LITTLE = "language"
"""Told only where nothing else is shared."""
_ENGLISH: Mapping[str, str] = {
    "contacts": "Same contact: {}.",
    "pictures": "Same picture.",
    "similar_pictures": "A copy of a picture, or one nearly equal.",
    "sounds": "Same sound.",
    "similar_sounds": "A copy of a sound, or one nearly equal.",
    "titles": "Same title: {}.",
    "phrases": "Both say {}.",
    "tags": "Shared tags: {}.",
    "audience": "Similar audience: {}.",
    "category": "Same category: {}.",
    "topic": "Same topic: {}.",
    "language": "Same language: {}.",
}
_CHINESE: Mapping[str, str] = {
    "contacts": "联系方式相同：{}。",
    "pictures": "图片相同。",
    "similar_pictures": "图片是副本或几乎相同。",
    "sounds": "音频相同。",
    "similar_sounds": "音频是副本或几乎相同。",
    "titles": "标题相同：{}。",
    "phrases": "都提到{}。",
    "tags": "共同标签：{}。",
    "audience": "受众相近：{}。",
    "category": "类目相同：{}。",
    "topic": "主题相近：{}。",
    "language": "语言相同：{}。",
}
"""Kinds of what is shared, the most telling first."""
SENTENCES: Final[Mapping[Language, Mapping[str, str]]] = {"en": _ENGLISH, "zh": _CHINESE}
_NOTHING: Mapping[Language, str] = {
    "en": "Alike as a whole (cosine {:.2f}); word for word they share at most what is common.",
    "zh": "整体相近（相似度 {:.2f}），逐字相同的内容即使有也很常见。",
}
_CHANGED: Mapping[Language, str] = {
    "en": "Changed while the list was made: run it again for the reason.",
    "zh": "生成名单时资料有变动，请重新运行以查看原因。",
}
_AUDIENCE: Mapping[Language, tuple[str, str]] = {
    "en": ("nearer than those of {} % of established pairs", "viewers in common, "),
    "zh": ("比 {}% 的成熟主播两两之间更接近", "有共同观众，"),
}
_LANGUAGES: Mapping[Language, Mapping[str, str]] = {
    "en": {"zh": "Chinese", "en": "English", "ja": "Japanese", "ko": "Korean"},
    "zh": {"zh": "中文", "en": "英语", "ja": "日语", "ko": "韩语"},
}
"""Others are told by their code."""
_REPEATED = 2
"""A phrase says no more than a tag that both have if it has so many characters beside it."""
_QUOTED: Mapping[Language, str] = {"en": '"{}"', "zh": "“{}”"}
_BOTH: Mapping[Language, str] = {"en": "{} and {}", "zh": "{}与{}"}
_COMMA: Mapping[Language, str] = {"en": ", ", "zh": "、"}
_BLANK: Mapping[Language, str] = {"en": " ", "zh": ""}


def in_words(shared: Shared, similarity: float, language: Language) -> str:
    """Sentences about what a row shares with the nearest seed.

    Args:
        shared: as an explanation has it.
        similarity: cosine with that seed.
        language: of the sentences.
    """
    sentences = SENTENCES[language]
    shared = {**shared, "phrases": _phrases(shared)}
    telling = [kind for kind in sentences if shared.get(kind) and kind != _SAYS_LITTLE]
    kinds = telling[:_MOST_KINDS] or [kind for kind in (_SAYS_LITTLE,) if shared.get(kind)]
    told = [sentences[kind].format(_values(kind, shared[kind], language)) for kind in kinds]
    if not telling:
        told.append(_NOTHING[language].format(similarity))
    return _BLANK[language].join(told)


def changed(language: Language) -> str:
    """That there is no reason, as the streamer was changed meanwhile."""
    return _CHANGED[language]


def _phrases(shared: Shared) -> list[SameContent]:
    """Phrases that say more than the tags that both have."""
    tags = [tag.casefold() for tag in shared.get("tags", ()) if isinstance(tag, str)]

    def repeats(phrase: SameContent) -> bool:
        said = (phrase.hit_quote or phrase.seed_quote).casefold()
        return any(
            said in tag or (tag in said and len(said) - len(tag) <= _REPEATED) for tag in tags
        )

    phrases = (one for one in shared.get("phrases", ()) if isinstance(one, SameContent))
    return [phrase for phrase in phrases if not repeats(phrase)]


def _values(kind: str, found: Sequence[str] | Sequence[SameContent], language: Language) -> str:
    told = (
        _label(kind, one, language) if isinstance(one, str) else _told(one, language)
        for one in found[:_MOST_VALUES]
    )
    return _COMMA[language].join(filter(None, told))


def _label(kind: str, value: str, language: Language) -> str:
    """A text that is told as it is, unless it is made of words for people."""
    if kind == _SAYS_LITTLE:
        return _LANGUAGES[language].get(value, value)
    if kind == "audience" and (parts := AUDIENCE.fullmatch(value)):
        near, linked = _AUDIENCE[language]
        return (linked if parts["linked"] else "") + near.format(parts["percentile"])
    return value


def _told(one: SameContent, language: Language) -> str:
    quoted: Callable[[str], str] = _QUOTED[language].format
    if not one.seed_quote or not one.hit_quote or one.seed_quote == one.hit_quote:
        words = one.hit_quote or one.seed_quote
        return quoted(words) if words else ""
    return _BOTH[language].format(quoted(one.seed_quote), quoted(one.hit_quote))
