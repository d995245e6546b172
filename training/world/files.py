"""Atomic writing of a world as a data set folder."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from training.data.files import FILES
from training.errors import OutputError
from training.world.world import World

MARKER = "world.json"
"""File that identifies the world in a folder, with digests of its files."""
GENERATOR = 2
"""Version of the generator; increase it when equal arguments give another world."""
MEDIA_GENERATOR = 1
"""Version of the media generator."""

Format = Literal["jsonl", "parquet"]

_MEDIA_ROWS = 256
"""Rows with media per Parquet batch, about 25 MB."""
_TEMPORARY = ".world-"
LOOK_ALIKES, RINGS = "look_alikes", "rings"
"""Tables of honest accounts that look alike, and of rings that hang together by chains, of worlds
with such rings: not a part of a data set."""
_FILE_NAMES = [
    f"{part}{end}"
    for part, ending in {**FILES, LOOK_ALIKES: ".csv", RINGS: ".csv"}.items()
    for end in (ending, ".parquet")
]


def is_written(
    folder: Path,
    streamers: int,
    seed: int,
    file_format: Format,
    media: bool = False,
    ring_share: float = 0.0,
    hidden_share: float = 0.0,
) -> bool:
    """Whether the folder holds this world unchanged; False for an empty or missing folder.

    Raises:
        OutputError: the folder holds something else.
    """
    try:
        names = sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return False
    except OSError as error:
        raise OutputError(
            f"{folder} can't be used: {error.strerror}; choose another folder"
        ) from error
    present = [name for name in names if not name.startswith(_TEMPORARY)]
    if not present:
        return False
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        marker = None
    if not isinstance(marker, dict):
        raise OutputError(f"{folder} holds other files ({present[0]}, ...); take another folder")
    shares = {"rings": ring_share, "hidden_rings": hidden_share}
    if marker | {"files": {}} != _marker(streamers, seed, file_format, media, shares, {}):
        raise OutputError(f"{folder} holds another world; take another folder, or --overwrite it")
    if marker.get("files") != _digests(folder):
        raise OutputError(f"{folder}: its files have changed; restore them with --overwrite")
    return True


def write_world(world: World, folder: Path, seed: int, file_format: Format) -> None:
    """Write all files, replacing a data set in the folder and keeping other files.

    Raises:
        OutputError: the folder is not writable, or the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left_over in folder.glob(_TEMPORARY + "*"):  # of a killed run
            shutil.rmtree(left_over)
        with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=folder) as temporary:
            made = Path(temporary)
            _write_streamers(world, made, file_format)
            for name, columns in _tables(world).items():
                _write_table(made, name, columns, file_format)
            count, digests = len(world.profiles), _digests(made)
            shares = {"rings": world.ring_share, "hidden_rings": world.hidden_share}
            marker = _marker(count, seed, file_format, world.media, shares, digests)
            for name in (MARKER, *_FILE_NAMES):
                (folder / name).unlink(missing_ok=True)
            for path in sorted(made.iterdir()):
                path.replace(folder / path.name)
            # Written last, as the mark of completeness.
            (folder / MARKER).write_text(json.dumps(marker, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        where = error.filename or folder
        raise OutputError(
            f"{where} can't be written: {error.strerror}; choose another folder"
        ) from error


def _marker(
    streamers: int,
    seed: int,
    file_format: Format,
    media: bool,
    shares: dict[str, float],
    digests: dict[str, str],
) -> dict[str, Any]:
    return {
        "generator": GENERATOR,
        "streamers": streamers,
        "seed": seed,
        "format": file_format,
        **({"media": MEDIA_GENERATOR} if media else {}),
        **{name: share for name, share in shares.items() if share},
        "files": digests,
    }


def _digests(folder: Path) -> dict[str, str]:
    digests = {}
    for name in sorted(_FILE_NAMES):
        if (folder / name).exists():
            with (folder / name).open("rb") as file:
                digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def _tables(world: World) -> dict[str, dict[str, Sequence[Any]]]:
    """Table name -> columns."""
    ids, audience = world.ids, world.audience
    digits = len(str(audience.users - 1))
    duplicates = [row for row, group in enumerate(world.groups) if group]
    look_alikes = [row for row, found in enumerate(world.look_alikes) if found]
    in_rings = [row for row, ring in enumerate(world.rings) if ring]
    more: dict[str, dict[str, Sequence[Any]]] = {}
    if look_alikes:
        more[LOOK_ALIKES] = {
            "streamer_id": [ids[row] for row in look_alikes],
            "set": [world.look_alikes[row] for row in look_alikes],
            "kind": [world.kinds[row] for row in look_alikes],
        }
    if in_rings:
        more[RINGS] = {
            "streamer_id": [ids[row] for row in in_rings],
            "ring": [world.rings[row] for row in in_rings],
            "kind": [world.kinds[row] for row in in_rings],
            "disguise": ["+".join(world.disguises[row]) for row in in_rings],
        }
    return {
        "splits": {"streamer_id": ids, "split": world.splits},
        "interactions": {
            "user_id": [f"u{user:0{digits}}" for user in audience.user.tolist()],
            "streamer_id": [ids[row] for row in audience.streamer.tolist()],
            "weight": audience.views.tolist(),
        },
        "duplicates": {
            "streamer_id": [ids[row] for row in duplicates],
            "group": [world.groups[row] for row in duplicates],
            "kind": [world.kinds[row] for row in duplicates],
            "disguise": ["+".join(world.disguises[row]) for row in duplicates],
        },
        "labels": {"streamer_id": ids, "label": world.topics},
        **more,
    }


def _write_table(
    folder: Path, name: str, columns: dict[str, Sequence[Any]], file_format: Format
) -> None:
    if file_format == "parquet":
        types = {key: pa.float64() if key == "weight" else pa.string() for key in columns}
        pq.write_table(pa.table(dict(columns), pa.schema(types)), folder / f"{name}.parquet")
        return
    with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(columns) + "\n")
        file.writelines(
            ",".join(map(str, row)) + "\n" for row in zip(*columns.values(), strict=True)
        )


def _write_streamers(world: World, folder: Path, file_format: Format) -> None:
    if file_format == "parquet":
        _write_parquet(world, folder / "streamers.parquet")
        return
    with (folder / "streamers.jsonl").open("w", encoding="utf-8", newline="") as file:
        file.writelines(json.dumps(profile, ensure_ascii=False) + "\n" for profile in world.shown())


def _write_parquet(world: World, path: Path) -> None:
    schema = _parquet_schema(world.media)
    rows = _MEDIA_ROWS if world.media else max(len(world.profiles), 1)
    shown = world.shown()
    compression = "zstd" if world.media else "snappy"  # base64 shrinks by a quarter, not by snappy
    with pq.ParquetWriter(path, schema, compression=compression) as writer:
        while batch := list(islice(shown, rows)):
            writer.write_table(pa.Table.from_pylist(batch, schema))


def _parquet_schema(media: bool) -> pa.Schema:
    text, texts = pa.string(), pa.list_(pa.string())
    if media:
        shown = pa.struct({"data": text, "content_type": text})
    else:
        shown = pa.struct({"vector": pa.list_(pa.float64()), "space": text})
    item = {"title": text, "duration_s": pa.float64(), "cover": shown}
    item |= {"audio": shown} if media else {}
    video = pa.struct({"video_id": text, "tags": texts, "published_at": text, **item})
    frames = {"frames": pa.list_(shown)} if media else {}
    live = pa.struct({"live_id": text, "started_at": text, **item, **frames})
    attributes = {"followers": pa.int64(), "partner": pa.bool_(), "joined_days": pa.int64()}
    return pa.schema(
        {
            **dict.fromkeys(("streamer_id", "name", "bio", "category", "language"), text),
            "tags": texts,
            "attributes": pa.struct(attributes),
            **({"avatar": shown} if media else {}),
            "videos": pa.list_(video),
            "lives": pa.list_(live),
        }
    )
