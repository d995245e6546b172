"""The hidden hierarchy: domains, topics, interests, and the words that go with them."""

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

LANGUAGES = ("en", "zh")
"""In the order of the pairs in `topics.toml`."""


@dataclass(frozen=True)
class Interest:
    """The finest level of the hierarchy. Texts are given per language, in order of `LANGUAGES`.

    Attributes:
        topic: its topic, as `games/moba`.
        words: what people with this interest talk about.
        topic_words: what everybody in the topic talks about.
        topic_name: what the platform calls the topic.
        domain_name: what the platform calls the domain.
    """

    topic: str
    words: tuple[tuple[str, ...], ...]
    topic_words: tuple[tuple[str, ...], ...]
    topic_name: tuple[str, ...]
    domain_name: tuple[str, ...]


def load_interests() -> list[Interest]:
    """All interests; those of a topic are neighbours, and so are those of a domain."""
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
    """Language -> kind of phrase -> phrases; see `phrases.toml`."""
    return _toml("phrases.toml")


def _words(by_language: list[str]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(words.split(", ")) for words in by_language)


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads(files("training.world").joinpath(name).read_text(encoding="utf-8"))
