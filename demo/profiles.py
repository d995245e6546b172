"""The data set, for people: read, shortened, described."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

from demo.errors import DemoError

Profile = dict[str, Any]


def read_profiles(data: Path) -> dict[str, Profile]:
    """The profiles by id, in the order of the file.

    Raises:
        DemoError: it isn't there, or a line of it is no profile.
    """
    file = data / "streamers.jsonl"
    if not file.is_file():
        raise DemoError(f"{file} is missing; DATA must be a data set folder with that file")
    profiles: dict[str, Profile] = {}
    for number, line in enumerate(file.read_bytes().split(b"\n"), start=1):
        if line.strip():
            try:
                profile = json.loads(line)
                profiles[profile["streamer_id"]] = profile
            except (ValueError, KeyError, TypeError) as error:
                checked = f"`python -m training data validate {data}` tells what is wrong"
                raise DemoError(f"{file}:{number} is no profile ({error!r}): {checked}") from error
    return profiles


def read_column(file: Path, key: str, value: str) -> dict[str, str]:
    """Two columns of a CSV file as a mapping; empty when there is no such file."""
    if not file.is_file():
        return {}
    with file.open(encoding="utf-8-sig", newline="") as rows:
        return {row[key]: row[value] for row in csv.DictReader(rows)}


def shorten(text: str, width: int) -> str:
    """At most `width` characters on one line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def describe(profile: Profile) -> str:
    """Name, bio and tags on one line; of real data without bios, the name and more tags."""
    bio, tags = profile.get("bio"), profile.get("tags", [])
    parts = [profile.get("name") or profile["streamer_id"], shorten(bio, 60) if bio else ""]
    parts.append(" ".join(f"#{tag}" for tag in tags[: 4 if bio else 8]))
    return "  ".join(part for part in parts if part)


def telling(profiles: dict[str, Profile], splits: dict[str, str], split: str) -> Profile:
    """A streamer of the split to ask about: one whose bio nobody shares, or who has many tags."""
    bios = Counter(profile.get("bio") for profile in profiles.values())

    def worth(profile: Profile) -> tuple[bool, int]:
        bio = profile.get("bio") or ""
        return bios[bio] == 1 and len(bio) >= 12, min(len(profile.get("tags", [])), 5)

    fitting = [p for p in profiles.values() if splits.get(p["streamer_id"], split) == split]
    return max(fitting or profiles.values(), key=worth)
