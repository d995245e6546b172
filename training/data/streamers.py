"""Reader of `streamers.jsonl` and `streamers.parquet`."""

import json
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from model_export.contract.streamer import Media, StreamerProfile
from training.data.passes import Passes
from training.data.problems import Problem, profile_problems
from training.data.rows import has_more_rows, lines_of, parquet_rows
from training.errors import DataError

UNREADABLE = -1
"""Row of a streamer with an invalid profile, so references to it are no further problems."""
IN_MEMORY = 30_000
"""Most streamers whose profiles are kept in memory, about 1 GB."""


class StreamerFile(Passes[StreamerProfile]):
    """Lazy profiles of a valid file, read again at every pass."""

    def __init__(self, path: Path, lines: NDArray[np.int64], ids: Sequence[str]) -> None:
        self._path, self._lines, self._ids = path, lines, ids

    def __len__(self) -> int:
        return len(self._lines)

    def pick(self, places: NDArray[np.int64]) -> Iterator[StreamerProfile]:
        """Implements `Passes`.

        Raises:
            DataError: the file has changed since it was checked.
        """
        problems: list[Problem] = []
        found = 0
        changed = DataError(f"{self._path} was changed while it was in use; start again")
        try:
            for _, content in _contents(self._path, problems, self._lines[places]):
                profile = _profile(content)
                if profile.streamer_id != self._ids[places[found]]:
                    raise changed
                yield profile
                found += 1
        except (ValidationError, OSError) as error:
            raise changed from error
        if problems or found < len(places):
            raise changed


@dataclass
class Streamers:
    """Streamers of a folder.

    Attributes:
        file: file name.
        profiles: valid profiles in file order.
        ids: their ids.
        lines: their line numbers.
        index: id -> place in `ids`, or `UNREADABLE`.
        spaces: vector space -> width.
    """

    file: str
    profiles: Sequence[StreamerProfile] = ()
    ids: list[str] = field(default_factory=list)
    lines: "array[int]" = field(default_factory=lambda: array("q"))
    index: dict[str, int] = field(default_factory=dict)
    spaces: dict[str, int] = field(default_factory=dict)

    def row(self, streamer_id: str) -> int | None:
        """Place of a streamer in `ids`, `UNREADABLE`, or None if unknown."""
        return self.index.get(streamer_id)


def read_streamers(path: Path, problems: list[Problem], in_memory: int = IN_MEMORY) -> Streamers:
    """Read and validate all streamers (schema: `model_export.contract.streamer`).

    Args:
        path: the file.
        problems: list that problems are added to.
        in_memory: number of streamers up to which profiles are kept in memory.
    """
    found = Streamers(path.name)
    kept: list[StreamerProfile] | None = None if has_more_rows(path, in_memory) else []
    space_lines: dict[str, int] = {}
    for line, profile in _profiles(path, found, problems):
        if found.row(profile.streamer_id) not in (None, UNREADABLE):
            first = found.lines[found.index[profile.streamer_id]]
            reason = f"{profile.streamer_id!r} is already on line {first}"
            problems.append(Problem(path.name, line, "streamer_id", reason))
            continue
        problems += _width_problems(path.name, line, profile, found.spaces, space_lines)
        found.index[profile.streamer_id] = len(found.ids)
        found.ids.append(profile.streamer_id)
        found.lines.append(line)
        if kept is not None:
            kept.append(profile)
    if not found.ids and not problems:
        problems.append(Problem(path.name, None, "", "has no streamers"))
    lines = np.asarray(found.lines, np.int64)
    found.profiles = StreamerFile(path, lines, found.ids) if kept is None else kept
    return found


def _profiles(
    path: Path, found: Streamers, problems: list[Problem]
) -> Iterator[tuple[int, StreamerProfile]]:
    for line, content in _contents(path, problems):
        try:
            yield line, _profile(content)
        except ValidationError as error:
            problems += profile_problems(path.name, line, error)
            streamer_id = _streamer_id(content)
            if streamer_id is not None:
                found.index.setdefault(streamer_id, UNREADABLE)


def _contents(
    path: Path, problems: list[Problem], wanted: NDArray[np.int64] | None = None
) -> Iterator[tuple[int, str | dict[str, Any]]]:
    read = parquet_rows if path.suffix == ".parquet" else lines_of
    return read(path, problems, wanted)


def _profile(content: str | dict[str, Any]) -> StreamerProfile:
    """Raises ValidationError."""
    if isinstance(content, str):
        return StreamerProfile.model_validate_json(content)
    attributes = _attributes(content.get("attributes"))
    return StreamerProfile.model_validate(_present(content | {"attributes": attributes}))


def _attributes(value: Any) -> Any:
    """Attributes of a Parquet row as a dict; some engines write maps as lists of `key`, `value`.

    Raises ValidationError for a repeated key. Any other list is kept, and is no valid profile.
    """
    if not isinstance(value, list) or not all(
        isinstance(pair, dict) and pair.keys() == {"key", "value"} and isinstance(pair["key"], str)
        for pair in value
    ):
        return value
    pairs = {pair["key"]: pair["value"] for pair in value}
    if len(pairs) < len(value):
        reason = PydanticCustomError("repeated_key", "Keys must not repeat")
        wrong = InitErrorDetails(type=reason, loc=("attributes",), input=value)
        raise ValidationError.from_exception_data("StreamerProfile", [wrong])
    return pairs


def _present(value: Any) -> Any:
    """Parquet value without null fields."""
    if isinstance(value, dict):
        return {key: _present(part) for key, part in value.items() if part is not None}
    if isinstance(value, list):
        return [_present(part) for part in value]
    return value


def _streamer_id(content: str | dict[str, Any]) -> str | None:
    """Id of an invalid profile, if readable."""
    try:
        record = json.loads(content) if isinstance(content, str) else content
    except (ValueError, RecursionError):
        return None
    streamer_id = record.get("streamer_id") if isinstance(record, dict) else None
    return streamer_id if isinstance(streamer_id, str) else None


def _width_problems(
    file: str, line: int, profile: StreamerProfile, widths: dict[str, int], lines: dict[str, int]
) -> Iterator[Problem]:
    for source, media in _media(profile):
        if media.vector is None or media.space is None:
            continue
        width = widths.setdefault(media.space, len(media.vector))
        first = lines.setdefault(media.space, line)
        if len(media.vector) != width:
            known = f"space {media.space!r} has {width} on line {first}"
            reason = f"has {len(media.vector)} numbers, {known}"
            yield Problem(file, line, f"{source}.vector", reason)


def _media(profile: StreamerProfile) -> Iterator[tuple[str, Media]]:
    """(path, media) of a profile."""
    places = {"avatar": profile.avatar}
    for i, video in enumerate(profile.videos):
        places |= {f"videos[{i}].cover": video.cover, f"videos[{i}].audio": video.audio}
    for i, live in enumerate(profile.lives):
        places |= {f"lives[{i}].cover": live.cover, f"lives[{i}].audio": live.audio}
        places |= {f"lives[{i}].frames[{j}]": frame for j, frame in enumerate(live.frames)}
    return ((source, media) for source, media in places.items() if media is not None)
