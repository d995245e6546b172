"""Answers as the OpenAPI document shows them, of the demo's streamers."""

from typing import Any

ANSWER: dict[str, Any] = {
    "hits": [
        {
            "streamer_id": "w0711",
            "score": 0.71,
            "precision": 0.83,
            "rank": 1,
            "reasons": {
                "nearest_seed": "w0087",
                "similarity": 0.71,
                "content_similarity": 0.42,
                "shared": {
                    "tags": ["cooking"],
                    "pictures": [{"seed": "videos[0].cover", "hit": "avatar"}],
                    "similar_pictures": [{"seed": "avatar", "hit": "videos[3].cover"}],
                },
                "by_modality": {
                    "tags": {"state": "compared", "contribution": 0.41},
                    "bio": {"state": "compared", "contribution": -0.02},
                    "covers": {"state": "absent", "in": "hit"},
                    "name": {"state": "uninformative", "in": "both"},
                },
            },
        }
    ],
    "complete": True,
    "exact": True,
    "model_version": "transfer-plus-a931f7997f06",
    "index_sequence": 5001,
    "took_ms": 9.5,
}
EXPORT_ANSWER: list[dict[str, Any]] = [
    {"streamer_id": "w0711", "score": 0.92, "precision": 0.792, "rank": 1},
    {
        "reached": 1,
        "threshold": None,
        "complete": True,
        "incomplete_because": None,
        "model_version": "transfer-plus-a931f7997f06",
        "index_sequence": 5001,
        "warnings": [],
        "coverage": 0.849,
    },
]
"""An export of one streamer."""
