"""Files of a data set folder: which are read, and which only look as if they were."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from training.data.problems import Problem

FILES = {
    "streamers": ".jsonl",
    "splits": ".csv",
    "interactions": ".csv",
    "relations": ".csv",
    "id_embeddings": ".npz",
    "duplicates": ".csv",
    "labels": ".csv",
}
"""Part of a data set -> file suffix; `.parquet` is allowed for each."""

_NAME = re.compile(r"[a-z_]*")


def find_files(folder: Path, problems: list[Problem]) -> dict[str, Path]:
    """File of each part of a folder that has one.

    Args:
        folder: data set folder.
        problems: list that problems are added to.
    """
    files: dict[str, Path] = {}
    for part, ending in FILES.items():
        # A link to nothing exists too, since a lost file is not one that was never given.
        there = [p for e in (ending, ".parquet") if os.path.lexists(p := folder / f"{part}{e}")]
        if len(there) > 1:
            reason = f"{there[1].name} is there as well; keep one of them"
            problems.append(Problem(there[0].name, None, "", reason))
        if there and there[0].is_file():
            files[part] = there[0]
        elif there:
            what = "not a file" if there[0].exists() else "a link to nothing"
            reason = f"is {what}; remove it, or give the file"
            problems.append(Problem(there[0].name, None, "", reason))
        elif part == "streamers":
            reason = "is missing, and so is streamers.parquet; is this a data set folder?"
            problems.append(Problem("streamers.jsonl", None, "", reason))
    return files


def ignored_files(folder: Path) -> list[str]:
    """Names of the files of a folder that are not read, ascending."""
    return sorted(p.name for p in folder.glob("*") if p.is_file() and not _is_read(p))


def nearly_named(names: list[str]) -> Iterator[str]:
    """Those of some names that begin like a file that is read, such as `splits.csv.gz`."""
    parts = {part.removesuffix("s") for part in FILES}
    for name in names:
        begin = _NAME.match(name.lower())
        if begin and begin[0].removesuffix("s") in parts:
            yield name


def _is_read(path: Path) -> bool:
    return path.suffix in (FILES.get(path.stem), ".parquet") and path.stem in FILES
