"""Streamers of the tests: topics, duplicates, and profiles that mean harm."""

import json
import re
from pathlib import Path
from typing import Any

from tests.support.bundles import TOPICS

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"
HARM = "<img src=x onerror=\"window.harmed='{field}'\"><script>window.harmed=1</script>"
"""Sets `window.harmed` wherever it becomes markup."""
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
    "rkJggg=="
)
MARKS = "Z" + "\u0301\u0336\u035c\u0489" * 49
RIGHT_TO_LEFT = "\u202eمطبخ الليل\u2066 abc"
FLAGS = "🇨🇳🇫🇷🏳️‍🌈👩‍🚀 " * 8


def _streamer(i: int, topic: str) -> dict[str, Any]:
    words = TOPICS[topic].split()
    return {
        "streamer_id": f"{topic}-{i:02}",
        "name": f"{topic.title()} {i}",
        "bio": f"{words[i % 4]} {words[(i + 1) % 4]} {words[4 + i % 4]}",
        "tags": [topic, words[i % 8]],
        "category": topic,
        "language": "en" if i % 3 else "zh",
        "attributes": {"followers": 100 * i, "partner": i % 2 == 0},
        "videos": [{"video_id": f"v{i}", "title": f"{words[i % 8]} #{i}"}],
    }


def _hostile() -> dict[str, Any]:
    """Markup in every field that takes text."""

    def harm(field: str) -> str:
        return HARM.format(field=field)

    titled = {"cover": {"data": PIXEL, "content_type": "image/png"}, "title": harm("title")}
    return {
        "streamer_id": "hostile-1",
        "name": harm("name"),
        "bio": "kitchen recipe noodles " + harm("bio"),
        "tags": ["cooking", harm("tag")],
        "category": harm("c"),
        "language": "en",
        "attributes": {"<b>fact</b>": harm("attribute"), "followers": 5},
        "avatar": {"url": "https://example.com/\"onerror='x'.png?q=<script>"},
        "videos": [{"video_id": "v1", **titled}],
        "lives": [{"live_id": "l1", **titled}],
    }


COPIED = {
    "bio": "Handmade noodles, one recipe every Friday, call the night kitchen",
    "tags": ["cooking", "noodles", "flour"],
    "category": "cooking",
    "language": "en",
    "videos": [
        {"video_id": f"v{i}", "title": f"Noodles by hand, lesson {i}: 手工面 flour"}
        for i in range(4)
    ],
}
COPIES: list[dict[str, Any]] = [
    {"streamer_id": f"copy-{i}", "name": f"night kitchen {i}", **COPIED} for i in range(3)
]
ODD: list[dict[str, Any]] = [
    _hostile(),
    {"streamer_id": "marks-1", "name": MARKS, "tags": ["cooking"], "bio": "kitchen soup"},
    {"streamer_id": "arabic-1", "name": RIGHT_TO_LEFT, "tags": ["cooking"], "bio": "recipe soup"},
    {"streamer_id": "flags-1", "name": FLAGS, "tags": ["cooking"], "bio": "noodles soup"},
]
NAMED_IN_EXAMPLES = sorted(set(re.findall(r'"(w[0-4]\d{3})"', DOCUMENT.read_text("utf-8"))))
STREAMERS: list[dict[str, Any]] = [
    *(_streamer(i, topic) for topic in TOPICS for i in range(15)),
    *COPIES,
    *ODD,
    *({"streamer_id": i, "tags": ["music"], "bio": f"guitar {i}"} for i in NAMED_IN_EXAMPLES),
]
assert json.dumps(STREAMERS)
