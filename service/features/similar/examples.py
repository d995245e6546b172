"""Answers as the OpenAPI document shows them, of the demo's streamers and shortened."""

from typing import Any

_MODEL = "transfer-plus-a931f7997f06"
_SHARED: dict[str, Any] = {
    "tags": ["cat tree"],
    "language": ["en"],
    "pictures": [{"seed": "videos[0].cover", "hit": "avatar"}],
    "similar_pictures": [{"seed": "avatar", "hit": "videos[3].cover"}],
}
ANSWER: dict[str, Any] = {
    "hits": [
        {
            "streamer_id": "w2522",
            "score": 0.956,
            "precision": 0.849,
            "rank": 1,
            "reasons": {
                "nearest_seed": "w0087",
                "similarity": 0.956,
                "content_similarity": 0.091,
                "shared": _SHARED,
                "contributions": {
                    "name": {"contribution": 0.0, "seed": "uninformative", "hit": "used"},
                    "tags": {"contribution": 0.617, "seed": "used", "hit": "used"},
                    "category": {"contribution": 0.339, "seed": "used", "hit": "used"},
                },
            },
        }
    ],
    "complete": True,
    "exact": True,
    "model_version": _MODEL,
    "index_sequence": 5000,
    "coverage": 0.668,
    "took_ms": 9.5,
}
EXPORT_ANSWER: list[dict[str, Any]] = [
    {"streamer_id": "w2522", "score": 0.956, "precision": 0.849, "rank": 1},
    {"streamer_id": "w1667", "score": 0.944, "precision": 0.834, "rank": 2},
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
