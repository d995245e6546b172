"""The same random questions of two services, or of a service and of numpy."""

import random
from typing import Any

import numpy as np
import pytest

from tests.support.api import Api
from tests.support.bundles import TOPICS

WORDS = [word for words in TOPICS.values() for word in words.split()]
FILTERS: list[dict[str, Any]] = [
    {},
    {"must": [{"field": "category", "any": ["cooking"]}]},
    {"must": [{"field": "tags", "any": ["gaming", "music"]}]},
    {"must": [{"field": "followers", "gte": 100, "lt": 400}]},
    {"must_not": [{"field": "category", "any": ["travel"]}]},
]


def profiles(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Streamers of all topics with random words; their follower counts differ."""
    draw = random.Random(seed)
    made: list[dict[str, Any]] = []
    for i in range(count):
        topic = draw.choice([*TOPICS])
        made.append(
            {
                "streamer_id": f"s{i:04}",
                "bio": " ".join(draw.sample(WORDS, 6)),
                "tags": [topic],
                "category": topic,
                "attributes": {"followers": i},
            }
        )
    return made


def hits(api: Api, streamer_id: str, **query: Any) -> list[tuple[str, float]]:
    """Ids and scores of the hits of a question with one seed."""
    body = {"positive": [{"streamer_id": streamer_id}], **query}
    answer = api.ok("POST", "/v1/similar", body)
    assert answer["complete"]
    return [(hit["streamer_id"], hit["score"]) for hit in answer["hits"]]


def assert_alike(one: Api, other: Api, seeds: list[str], **query: Any) -> None:
    """Both give the same hits, but for the order of equal scores."""
    for seed in seeds:
        first, second = hits(one, seed, **query), hits(other, seed, **query)
        scores = [score for _, score in first]
        assert [score for _, score in second] == pytest.approx(scores, abs=1e-4), seed
        # The last ones may be cut off in the middle of equal scores.
        least = scores[-1] + 1e-4 if scores else 0.0
        assert {name for name, score in first if score > least} == {
            name for name, score in second if score > least
        }, seed


def recall(found: Api, exact: Api, seeds: list[str], k: int = 10) -> float:
    """Share of the exact nearest that are found."""
    shares: list[float] = []
    for seed in seeds:
        wanted = {name for name, _ in hits(exact, seed, k=k)}
        shares.append(len(wanted & {name for name, _ in hits(found, seed, k=k)}) / k)
    return float(np.mean(shares))
