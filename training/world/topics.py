"""Topic hierarchy of the world: domains, topics, interests, and their words."""

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

LANGUAGES = ("en", "zh")
"""Languages in the order of the pairs in `topics.toml`."""


@dataclass(frozen=True)
class Interest:
    """Finest level of the hierarchy; texts are given per language of `LANGUAGES`.

    Attributes:
        topic: topic, such as `games/moba`.
        words: words of the interest.
        topic_words: words of the whole topic.
        topic_name: category name of the topic.
        domain_name: category name of the domain.
    """

    topic: str
    words: tuple[tuple[str, ...], ...]
    topic_words: tuple[tuple[str, ...], ...]
    topic_name: tuple[str, ...]
    domain_name: tuple[str, ...]


def load_interests() -> list[Interest]:
    """All interests, contiguous by topic and domain."""
    found = []
    for domain, topics in _toml("topics.toml").items():
        domain_name = tuple(topics.pop("name"))
        for topic, content in topics.items():
            for interest in content["interests"]:
                found.append(
                    Interest(
                        topic=f"{domain}/{topic}",
                        words=_words(interest),
                        topic_words=_words(content["words"]),
                        topic_name=tuple(content["name"]),
                        domain_name=domain_name,
                    )
                )
    return found


def load_phrases() -> dict[str, dict[str, list[Any]]]:
    """Language -> kind of phrase -> phrases, from `phrases.toml`."""
    return _toml("phrases.toml")


def load_look_alikes() -> dict[str, dict[str, list[str]]]:
    """Language -> kind of template -> templates, from `look_alikes.toml`."""
    return _toml("look_alikes.toml")


def _words(by_language: list[str]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(words.split(", ")) for words in by_language)


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads(files("training.world").joinpath(name).read_text(encoding="utf-8"))
