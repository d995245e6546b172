"""Reader of `id_embeddings`, the vectors of a recommender."""

import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.problems import Problem
from training.data.rows import parquet_rows
from training.data.streamers import Streamers

_DAMAGED = (
    *(ValueError, TypeError, KeyError, EOFError, OSError, RuntimeError, MemoryError),
    *(OverflowError, struct.error, zipfile.BadZipFile, zlib.error),
)
"""Exceptions of NumPy and zipfile on damaged files."""
_ARRAYS = {"ids": "vectors", "user_ids": "user_vectors"}


@dataclass(frozen=True, eq=False)
class IdEmbeddings:
    """Vectors of a recommender.

    Attributes:
        ids: M streamer ids in file order.
        vectors: float32 (M, E), finite, none all zero.
        user_ids: K user ids, or None; reserved, not used yet.
        user_vectors: float32 (K, E), or None; reserved, not used yet.
    """

    ids: list[str]
    vectors: NDArray[np.float32]
    user_ids: list[str] | None = None
    user_vectors: NDArray[np.float32] | None = None


def read_id_embeddings(
    path: Path, streamers: Streamers, problems: list[Problem]
) -> IdEmbeddings | None:
    """Read ID-embeddings from `.npz` or `.parquet`; None if there is a problem.

    NumPy: arrays `ids`, `vectors` [, `user_ids`, `user_vectors`]. Parquet: columns `streamer_id`,
    `vector` [, `user_id`]; each row names a streamer or a user. The user arrays are reserved: they
    are checked and not used yet.
    """
    before = len(problems)
    arrays = (_from_parquet if path.suffix == ".parquet" else _from_npz)(path, problems)
    if len(problems) == before:
        for ids, vectors in _ARRAYS.items():
            if ids in arrays:
                _check_rows(path.name, ids, arrays[ids], vectors, arrays[vectors], problems)
    if len(problems) == before:
        for line, streamer_id in enumerate(arrays["ids"].tolist(), 1):
            if streamers.row(streamer_id) is None:
                reason = f"{streamer_id!r:.140} is not a streamer of this set"
                problems.append(Problem(path.name, line, "ids", reason))
        if "user_vectors" in arrays:
            width, users = arrays["vectors"].shape[1], arrays["user_vectors"].shape[1]
            if width != users:
                reason = f"is {users} wide, vectors is {width} wide"
                problems.append(Problem(path.name, None, "user_vectors", reason))
    if len(problems) > before:
        return None
    users = arrays.get("user_ids")
    return IdEmbeddings(
        ids=arrays["ids"].tolist(),
        vectors=arrays["vectors"].astype(np.float32),
        user_ids=None if users is None else users.tolist(),
        user_vectors=None if users is None else arrays["user_vectors"].astype(np.float32),
    )


def _from_npz(path: Path, problems: list[Problem]) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    name, before = "", len(problems)
    with path.open("rb") as file:
        try:
            blob = np.load(file, allow_pickle=False)
            if not isinstance(blob, np.lib.npyio.NpzFile):
                problems.append(Problem(path.name, None, "", "is a single array, not an .npz file"))
                return {}
            with blob:
                _check_names(path.name, blob.files, problems)
                for name in blob.files if not problems[before:] else ():
                    arrays[name] = blob[name]
        except _DAMAGED as error:
            reason = f"can't be read: {error}"
            if "allow_pickle" in reason:
                reason = (
                    "holds Python objects, which are not loaded, since they could run code; write "
                    "ids.astype(str), vectors.astype(np.float32) and no others with np.savez"
                )
            problems.append(Problem(path.name, None, name, reason))
    return arrays


def _from_parquet(path: Path, problems: list[Problem]) -> dict[str, NDArray[Any]]:
    names: dict[str, list[str]] = {"streamer_id": [], "user_id": []}
    vectors: dict[str, list[NDArray[np.float64]]] = {"streamer_id": [], "user_id": []}
    for line, row in parquet_rows(path, problems):
        if not {"vector"} < set(row) <= {*names, "vector"}:
            reason = f"has the columns {', '.join(row)}; needs streamer_id or user_id, and vector"
            problems.append(Problem(path.name, None, "", reason))
            return {}
        owners = [name for name in names if row.get(name) is not None]
        if len(owners) != 1:
            reason = "needs streamer_id or user_id, and not both"
            problems.append(Problem(path.name, line, "", reason))
            continue
        (owner,) = owners
        vector = _numbers(row["vector"])
        if vector is None:
            reason = f"needs a list of numbers, is {row['vector']!r:.80}"
            problems.append(Problem(path.name, line, "vector", reason))
        elif vectors[owner] and len(vector) != len(vectors[owner][0]):
            reason = f"has {len(vector)} numbers, those before have {len(vectors[owner][0])}"
            problems.append(Problem(path.name, line, "vector", reason))
        else:
            names[owner].append(str(row[owner]))
            vectors[owner].append(vector)
    arrays: dict[str, NDArray[Any]] = {}
    for owner, prefix in (("streamer_id", ""), ("user_id", "user_")):
        if owner == "user_id" and not names[owner]:
            continue
        # Not of a fixed width: one id of megabytes would make all others as wide.
        arrays[f"{prefix}ids"] = np.array(names[owner], object)
        arrays[f"{prefix}vectors"] = np.array(vectors[owner], np.float64)
    return arrays


_NUMBERS = (float, int, np.float16, Decimal, type(None))


def _numbers(value: Any) -> NDArray[np.float64] | None:
    """Vector (E,) of a list of numbers or nulls, which become NaN; None if it is none."""
    if not isinstance(value, list):
        return None
    if not all(type(number) in _NUMBERS for number in value):
        return None
    return np.array(value, np.float64)


def _check_names(file: str, names: Sequence[str], problems: list[Problem]) -> None:
    known = {*_ARRAYS, *_ARRAYS.values()}
    for name in sorted(set(names) - known):
        problems.append(
            Problem(file, None, name, f"is unknown; known are {', '.join(sorted(known))}")
        )
    users = {"user_ids", "user_vectors"}
    wanted = {"ids", "vectors"} | (users if users & set(names) else set())
    for name in sorted(wanted - set(names)):
        problems.append(Problem(file, None, name, "is missing"))


def _check_rows(
    file: str,
    ids_name: str,
    ids: NDArray[Any],
    vectors_name: str,
    vectors: NDArray[Any],
    problems: list[Problem],
) -> None:
    if ids.ndim != 1 or ids.dtype.kind not in "UO":  # objects are texts of a Parquet file
        remedy = "" if ids.dtype.kind == "U" else f"; write {ids_name}.astype(str)"
        reason = f"needs shape (M,) of text, is {ids.shape} of {ids.dtype}{remedy}"
        problems.append(Problem(file, None, ids_name, reason))
    if vectors.ndim != 2 or vectors.dtype.kind != "f" or vectors.shape[1] == 0:
        reason = f"needs shape (M, width) of floats, is {vectors.shape} of {vectors.dtype}"
        problems.append(Problem(file, None, vectors_name, reason))
    elif len(ids) != len(vectors):
        reason = f"has {len(vectors)} rows, {ids_name} has {len(ids)}"
        problems.append(Problem(file, None, vectors_name, reason))
    else:
        with np.errstate(over="ignore", invalid="ignore"):  # infinities are reported below
            narrow = vectors.astype(np.float32)
            squares = np.einsum("ij,ij->i", narrow, narrow)
        for row in np.flatnonzero(~(np.isfinite(squares) & (squares > 0))):
            if not np.isfinite(narrow[row]).all():
                reason = "has NaN or infinity"
            elif not vectors[row].any():
                reason = "is all zeros; remove streamers without a vector"
            else:
                reason = "is too long or too short for 32-bit numbers; scale all vectors alike"
            problems.append(Problem(file, int(row) + 1, vectors_name, reason))
        seen: dict[str, int] = {}
        for line, name in enumerate(ids.tolist(), 1):
            if seen.setdefault(name, line) != line:
                reason = f"{name!r:.140} is already in row {seen[name]}"
                problems.append(Problem(file, line, ids_name, reason))
