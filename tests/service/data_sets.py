"""Data set folders with just what `load` and `embed` read."""

import json
from pathlib import Path
from typing import Any

from tests.bundles import TOPICS

NDJSON = {"Content-Type": "application/x-ndjson"}
TOPIC_NAMES = tuple(TOPICS)


def profile(i: int) -> dict[str, Any]:
    return {"streamer_id": f"s{i:05}", "name": f"name {i}", "tags": [TOPIC_NAMES[i % 4]]}


def json_line(profile: dict[str, Any]) -> str:
    return json.dumps(profile, ensure_ascii=False) + "\n"


def profiles(count: int) -> list[str]:
    """Lines of so many streamers."""
    return [json_line(profile(i)) for i in range(count)]


def write_data(folder: Path, lines: list[str]) -> Path:
    """Write a folder with these lines."""
    folder.mkdir(exist_ok=True)
    (folder / "streamers.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder
