"""Answers as the OpenAPI document shows them, of the demo's streamers and shortened."""

from typing import Any

_MODEL = "transfer-plus-b0f4bd6f18c4"
_SHARED: dict[str, Any] = {
    "tags": ["cat tree"],
    "phrases": [
        {
            "seed": "videos[3].title",
            "hit": "videos[0].title",
            "seed_quote": "purr",
            "hit_quote": "purr",
        },
        {
            "seed": "videos[5].title",
            "hit": "bio",
            "seed_quote": "cat tree",
            "hit_quote": "cat tree",
        },
    ],
    "language": ["en"],
}
_CONTRIBUTIONS: dict[str, Any] = {
    "name": {"contribution": 0.001, "seed": "uninformative", "hit": "used"},
    "bio": {"contribution": 0.002, "seed": "absent", "hit": "used"},
    "tags": {"contribution": 0.359, "seed": "used", "hit": "used"},
    "category": {"contribution": 0.26, "seed": "used", "hit": "used"},
    "language": {"contribution": 0.0, "seed": "used", "hit": "used"},
    "videos": {"contribution": 0.338, "seed": "used", "hit": "used"},
}
ANSWER: dict[str, Any] = {
    "hits": [
        {
            "streamer_id": "w2522",
            "score": 0.96,
            "precision": 0.813,
            "rank": 1,
            "reasons": {
                "nearest_seed": "w0087",
                "similarity": 0.96,
                "content_similarity": 0.091,
                "shared": _SHARED,
                "contributions": _CONTRIBUTIONS,
            },
        }
    ],
    "complete": True,
    "exact": True,
    "model_version": _MODEL,
    "index_sequence": 5000,
    "coverage": 0.668,
    "took_ms": 41.7,
}
EXPORT_ANSWER: list[dict[str, Any]] = [
    {"streamer_id": "w2522", "score": 0.96, "precision": 0.813, "rank": 1},
    {"streamer_id": "w1667", "score": 0.944, "precision": 0.762, "rank": 2},
    {
        "reached": 2,
        "threshold": None,
        "complete": True,
        "incomplete_because": None,
        "model_version": _MODEL,
        "index_sequence": 5000,
        "warnings": [],
        "coverage": 0.668,
    },
]
"""The lines of an export."""
